//! An in-memory registry that supports only Docker's v1 API.
//!
//! Owns [`V1Registry`], which replies as docker-registry 0.9 and Docker's index did, and records
//! every request. [`Settings`] covers the differences between registries of that time.

mod content;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use self::content::{Answer, Call, Content};
use crate::script::{Request, read_head};

/// A registry with the v1 API. After this value is dropped, the registry accepts no more
/// connections.
#[derive(Debug)]
pub struct V1Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

/// The differences between registries.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Returns tags as a list of `{name, layer}` with short identifiers, as Docker's index did.
    pub list_form: bool,
    /// The number of results on a page of a search, or `None` for all results.
    pub page_size: Option<usize>,
    /// The required `Authorization`. Without this header, all requests except the ping get 401 and
    /// a Basic challenge.
    pub authorization: Option<String>,
    /// Turns the registry into an index, which issues tokens for the registries at these addresses
    /// (`X-Docker-Endpoints`).
    pub index_of: Option<String>,
    /// Requires a token for all requests except pings, searches and requests to the index.
    pub needs_token: bool,
}

/// A received request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The method, path and query, such as `GET /v1/_ping`.
    pub line: String,
    /// The headers in order of arrival, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Recorded {
    /// Returns the first value of a header. `name` must be in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct State {
    settings: Settings,
    content: Content,
    requests: Vec<Recorded>,
}

impl V1Registry {
    /// Starts an empty, standalone registry for anonymous clients.
    pub async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// Starts an empty registry with these settings.
    ///
    /// # Panics
    /// If no loopback port is free.
    pub async fn with(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { settings, ..State::default() }));
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { serve(stream, &state).await.ok() });
            }
        });
        Self { address, state, server }
    }

    /// Returns the registry's address, as in a reference.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Stores a complete image.
    pub fn put_image(&self, id: &str, json: &str, layer: &[u8]) {
        lock(&self.state).content.put_image(id, json, layer);
    }

    /// Points a tag of `namespace/name` at an image, which may be missing.
    pub fn put_tag(&self, repository: &str, tag: &str, id: &str) {
        lock(&self.state).content.put_tag(repository, tag, id);
    }

    /// Changes a byte of an image's layer, but not its checksum.
    pub fn damage_layer(&self, id: &str) {
        lock(&self.state).content.damage_layer(id);
    }

    /// Returns the requests since the last call.
    pub fn requests(&self) -> Vec<Recorded> {
        std::mem::take(&mut lock(&self.state).requests)
    }

    /// Returns the method, path and query of each request since the last call.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }
}

impl Drop for V1Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_head(&mut stream).await? {
        let body = read_body(&mut stream, &request).await?;
        let answer = {
            let mut state = lock(state);
            let answer = state.answer(&request, &body);
            let line = format!("{} {}", request.method, request.target);
            state.requests.push(Recorded { line, headers: request.headers, body });
            answer
        };
        let mut head = format!("HTTP/1.1 {} v1\r\n", answer.status);
        if answer.status != 204 {
            head.push_str(&format!("content-length: {}\r\n", answer.body.len()));
        }
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        stream.write_all(&answer.body).await?;
    }
    Ok(())
}

async fn read_body(
    stream: &mut BufReader<TcpStream>,
    request: &Request,
) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if request.header("transfer-encoding").is_none() {
        body.resize(request.size(), 0);
        stream.read_exact(&mut body).await?;
        return Ok(body);
    }
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await?);
        }
        let size = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
        let start = body.len();
        body.resize(start + size + 2, 0);
        stream.read_exact(&mut body[start..]).await?;
        body.truncate(start + size);
        if size == 0 {
            return Ok(body);
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request, body: &[u8]) -> Answer {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let Some(path) = path.strip_prefix("/v1/") else { return Answer::error(404, "Not found") };
        if path == "_ping" {
            let standalone = if self.settings.index_of.is_some() { "False" } else { "True" };
            return Answer::json(200, "true")
                .with("X-Docker-Registry-Version", "0.9.1")
                .with("X-Docker-Registry-Standalone", standalone);
        }
        let authorization = request.header("authorization");
        let wanted = self.settings.authorization.as_deref();
        if wanted.is_some() && authorization != wanted {
            let refused = Answer::error(401, "Login required");
            return refused.with("WWW-Authenticate", "Basic realm=\"v1\"");
        }
        let parts: Vec<&str> = path.split('/').collect();
        let (method, checksum) = (&*request.method, request.header("x-docker-checksum-payload"));
        let call = Call { method, parts: &parts, query, body, checksum };
        if let (Some(endpoints), true) = (&self.settings.index_of, is_index(&parts))
            && request.header("x-docker-token") == Some("true")
        {
            let access = if request.method == "PUT" { "write" } else { "read" };
            let repository = format!("{}/{}", parts[1], parts[2]);
            let token = format!("{SIGNATURE},repository=\"{repository}\",access={access}");
            return self
                .content
                .answer(&call, &self.settings)
                .with("X-Docker-Token", &token)
                .with("X-Docker-Endpoints", endpoints);
        }
        let has_token = authorization.is_some_and(|text| text.starts_with(TOKEN));
        if self.settings.needs_token && parts[0] != "search" && !has_token {
            return Answer::error(401, "Requires authorization");
        }
        self.content.answer(&call, &self.settings)
    }
}

/// Returns true for endpoints of the index: a repository itself, and its images.
fn is_index(parts: &[&str]) -> bool {
    matches!(parts, ["repositories", _, _, "" | "images"])
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

const SIGNATURE: &str = "signature=123abc";
const TOKEN: &str = "Token signature=123abc";
