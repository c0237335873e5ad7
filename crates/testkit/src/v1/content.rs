//! The content of a v1 registry, and its replies.

use std::collections::BTreeMap;

use longshore_core::{Algorithm, Digest};
use serde_json::{Value, json};

use super::Settings;

/// Images and tags.
#[derive(Debug, Default)]
pub(super) struct Content {
    images: BTreeMap<String, Image>,
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Default)]
struct Image {
    json: Vec<u8>,
    layer: Option<Vec<u8>>,
    checksum: Option<String>,
}

/// A reply.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.into() }
    }

    pub(super) fn error(status: u16, text: &str) -> Self {
        Self::json(status, json!({ "error": text }).to_string())
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn of(value: &Value) -> Self {
        Self::json(200, value.to_string())
    }
}

impl Content {
    pub(super) fn put_image(&mut self, id: &str, json: &str, layer: &[u8]) {
        let mut image = Image { json: json.into(), layer: Some(layer.to_vec()), checksum: None };
        image.checksum = Some(image.computed().to_string());
        self.images.insert(id.to_owned(), image);
    }

    pub(super) fn put_tag(&mut self, repository: &str, tag: &str, id: &str) {
        let tags = self.repositories.entry(repository.to_owned()).or_default();
        tags.insert(tag.to_owned(), id.to_owned());
    }

    pub(super) fn damage_layer(&mut self, id: &str) {
        let layer = self.images.get_mut(id).and_then(|image| image.layer.as_mut()).unwrap();
        layer[0] ^= 1;
    }

    pub(super) fn answer(&mut self, call: &Call<'_>, settings: &Settings) -> Answer {
        match call.parts {
            ["search"] => self.search(call.query, settings),
            ["repositories", namespace, name, rest @ ..] => {
                self.repository(call, &format!("{namespace}/{name}"), rest, settings)
            }
            ["images", id, what] => self.image(call, id, what),
            _ => Answer::error(404, "Not found"),
        }
    }

    fn search(&self, query: &str, settings: &Settings) -> Answer {
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(n, _)| *n == name).map(|(_, value)| value.replace('+', " ")).next()
        };
        let words = parameter("q").unwrap_or_default();
        let names: Vec<&String> =
            self.repositories.keys().filter(|name| name.contains(words.as_str())).collect();
        let size = settings.page_size.unwrap_or(names.len().max(1));
        let page: usize = parameter("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        let results: Vec<Value> = names
            .iter()
            .skip((page - 1) * size)
            .take(size)
            .map(|name| json!({ "name": name, "description": "" }))
            .collect();
        let mut reply = json!({ "num_results": names.len(), "query": words, "results": results });
        if settings.page_size.is_some() {
            reply["num_pages"] = json!(names.len().div_ceil(size));
            // A string instead of a number, as a real index sent it.
            reply["page"] = json!(page.to_string());
            reply["page_size"] = json!(size);
        }
        Answer::of(&reply)
    }

    fn repository(
        &mut self,
        call: &Call<'_>,
        name: &str,
        rest: &[&str],
        settings: &Settings,
    ) -> Answer {
        if let ("PUT", [""]) = (call.method, rest) {
            self.repositories.entry(name.to_owned()).or_default();
            return Answer::json(200, "\"\"");
        }
        if let ("PUT", ["tags", tag]) = (call.method, rest) {
            return match serde_json::from_slice::<String>(call.body) {
                Ok(id) if self.images.contains_key(&id) => {
                    self.put_tag(name, tag, &id);
                    Answer::json(200, "true")
                }
                Ok(_) => Answer::error(404, "Image not found"),
                Err(_) => Answer::error(400, "Invalid data"),
            };
        }
        let Some(tags) = self.repositories.get_mut(name) else {
            return Answer::error(404, "Repository not found");
        };
        match (call.method, rest) {
            ("GET", ["images"]) => {
                let ids = self.images.keys().map(|id| json!({ "id": id }));
                Answer::json(200, Value::from_iter(ids).to_string())
            }
            ("GET", ["tags"]) if settings.list_form => {
                let short = |id: &str| id.chars().take(8).collect::<String>();
                let list = tags.iter().map(|(tag, id)| json!({ "name": tag, "layer": short(id) }));
                Answer::json(200, Value::from_iter(list).to_string())
            }
            ("GET", ["tags"]) => Answer::of(&json!(tags)),
            ("GET", ["tags", tag]) => match tags.get(*tag) {
                Some(id) => Answer::of(&json!(id)),
                None => Answer::error(404, "Tag not found"),
            },
            ("GET", ["tags", tag, "json"]) if tags.contains_key(*tag) => {
                Answer::of(&json!({ "last_update": 1_420_000_000, "docker_version": "1.4.1" }))
            }
            ("DELETE", ["tags", tag]) => match tags.remove(*tag) {
                Some(_) => Answer::json(200, "true"),
                None => Answer::error(404, "Tag not found"),
            },
            ("DELETE", [""]) => {
                self.repositories.remove(name);
                Answer::json(200, "true")
            }
            _ => Answer::error(404, "Not found"),
        }
    }

    fn image(&mut self, call: &Call<'_>, id: &str, what: &str) -> Answer {
        if let ("PUT", "json") = (call.method, what) {
            return self.begin(call, id);
        }
        if let ("GET", "ancestry") = (call.method, what) {
            return self.ancestry(id);
        }
        let Some(image) = self.images.get_mut(id) else {
            return Answer::error(404, "Image not found");
        };
        match (call.method, what, &image.checksum) {
            ("PUT", "layer", None) => {
                image.layer = Some(call.body.to_vec());
                Answer::json(200, "true")
            }
            ("PUT", "checksum", None) => image.complete(call.checksum),
            ("PUT", _, _) => Answer::error(409, "Image already exists"),
            (_, _, None) => Answer::error(400, "Image is being uploaded, retry later"),
            ("GET", "json", Some(checksum)) => {
                let size = image.layer.as_ref().map_or(0, Vec::len).to_string();
                Answer::json(200, image.json.clone())
                    .with("X-Docker-Size", &size)
                    .with("X-Docker-Checksum-Payload", checksum)
            }
            ("GET", "layer", _) => {
                let body = image.layer.clone().unwrap_or_default();
                let kind = ("content-type".to_owned(), "application/octet-stream".to_owned());
                Answer { status: 200, headers: vec![kind], body }
            }
            _ => Answer::error(404, "Not found"),
        }
    }

    fn begin(&mut self, call: &Call<'_>, id: &str) -> Answer {
        let Ok(json) = serde_json::from_slice::<Value>(call.body) else {
            return Answer::error(400, "Invalid JSON");
        };
        if json["id"] != id {
            return Answer::error(400, "Missing key `id' in JSON");
        }
        if json["parent"].as_str().is_some_and(|parent| !self.images.contains_key(parent)) {
            return Answer::error(400, "Image depends on a non existing parent");
        }
        if self.images.get(id).is_some_and(|image| image.checksum.is_some()) {
            return Answer::error(409, "Image already exists");
        }
        let image = Image { json: call.body.to_vec(), ..Image::default() };
        self.images.insert(id.to_owned(), image);
        Answer::json(200, "true")
    }

    fn ancestry(&self, id: &str) -> Answer {
        let mut ancestry = Vec::new();
        let mut next = Some(id.to_owned());
        while let Some(id) = next {
            let Some(image) = self.images.get(&id) else {
                return Answer::error(404, "Image not found");
            };
            let json: Value = serde_json::from_slice(&image.json).unwrap();
            next = json["parent"].as_str().map(str::to_owned);
            ancestry.push(id);
        }
        Answer::of(&json!(ancestry))
    }
}

/// A request.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    /// The parts of the path below `/v1/`.
    pub(super) parts: &'a [&'a str],
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    /// `X-Docker-Checksum-Payload`.
    pub(super) checksum: Option<&'a str>,
}

impl Image {
    fn computed(&self) -> Digest {
        let layer = self.layer.as_deref().unwrap_or_default();
        Algorithm::Sha256.digest(&[&self.json, &b"\n"[..], layer].concat())
    }

    fn complete(&mut self, checksum: Option<&str>) -> Answer {
        if self.layer.is_none() {
            return Answer::error(404, "Layer not found");
        }
        match checksum {
            Some(checksum) if checksum == self.computed().as_str() => {
                self.checksum = Some(checksum.to_owned());
                Answer::json(200, "true")
            }
            Some(_) => Answer::error(400, "Checksum mismatch"),
            None => Answer::error(400, "Missing Image's checksum"),
        }
    }
}
