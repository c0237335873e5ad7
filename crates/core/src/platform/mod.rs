//! Platforms: the machines on which images run.

mod fit;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::fit::Fit;
use crate::error::{ParseError, Result};

/// The platform on which an image runs, as described in an index.
///
/// The text form is `os/architecture[/variant]`. If the version of the operating system is known,
/// it follows `os` in parentheses: `windows(10.0.20348.2113)/amd64`. Fields unknown to longshore
/// are kept in `extra`.
///
/// Source: image-spec v1.1.1, image index, "platform".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Platform {
    /// The operating system, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// The processor architecture by its name in Go, such as `amd64` or `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// The variant of the processor, such as `v7` for 32-bit ARM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of the operating system, which Windows images state.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The features of the operating system that the image requires.
    #[serde(
        default,
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::json::null_is_default"
    )]
    pub os_features: Vec<String>,
    /// Fields unknown to longshore.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Platform {
    /// Creates a platform from its three parts, and normalizes the parts.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) = normalize(architecture, variant);
        Self { os: os.to_ascii_lowercase(), architecture, variant, ..Self::default() }
    }

    /// Parses `os[(version)]/architecture[/variant]`, or `local` for this machine.
    ///
    /// Other common names are normalized: `x86_64` becomes `amd64`, and `aarch64` becomes `arm64`.
    ///
    /// # Errors
    /// [`ParseError`] if the text does not have two or three parts of letters, digits, `_`, `.` and
    /// `-`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text == "local" {
            return Ok(Self::local());
        }
        let bad = |reason: &'static str| ParseError::new("platform", text, reason);
        let mut parts: Vec<&str> = text.split('/').collect();
        let os_version = parts[0].strip_suffix(')').and_then(|os| os.split_once('('));
        if let Some((os, version)) = os_version {
            parts.splice(..1, [os]);
            parts.push(version);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if parts.iter().any(|part| part.is_empty() || !part.chars().all(allowed)) {
            return Err(bad("expected os/architecture[/variant], such as linux/arm64"));
        }
        let os_version = os_version.and_then(|_| parts.pop()).map(str::to_owned);
        let platform = match parts[..] {
            [os, architecture] => Self::new(os, architecture, None),
            [os, architecture, variant] => Self::new(os, architecture, Some(variant)),
            _ => {
                return Err(bad(
                    "expected two or three parts, such as linux/amd64 or linux/arm/v7",
                ));
            }
        };
        Ok(Self { os_version, ..platform })
    }

    /// Returns the platform of images for this machine. The operating system is Windows on Windows,
    /// and Linux on all other systems, such as macOS.
    #[must_use]
    pub fn local() -> Self {
        let os = if cfg!(windows) { "windows" } else { "linux" };
        Self::new(os, std::env::consts::ARCH, None)
    }

    /// Returns true if an image for `self` fits `wanted`. The image may also be for an older
    /// processor of the same architecture, such as `arm/v6` if `arm/v7` is wanted.
    ///
    /// Parts that `wanted` omits match any value.
    /// [`Index::for_platform`](crate::Index::for_platform) selects the best manifest of an index.
    #[must_use]
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.fit(wanted).is_some()
    }

    /// Returns the distance of an image for `self` from `wanted`, or `None` if the image does not
    /// fit.
    pub(crate) fn fit(&self, wanted: &Self) -> Option<Fit> {
        fit::fit(self, wanted)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if let Some(version) = self.os_version.as_deref().filter(|version| !version.is_empty()) {
            write!(f, "({version})")?;
        }
        write!(f, "/{}", self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// Maps other names of processors to the names in Go, and removes a redundant variant.
///
/// Source: Go's GOARCH values; containerd writes `arm64/v8` where others write `arm64`.
fn normalize(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.map(str::to_ascii_lowercase);
    match (architecture.as_str(), variant.as_deref()) {
        ("x86_64" | "x86-64" | "amd64", v) => {
            ("amd64".into(), v.filter(|v| *v != "v1").map(Into::into))
        }
        ("aarch64" | "arm64", v) => {
            ("arm64".into(), v.filter(|v| !matches!(*v, "v8" | "8")).map(Into::into))
        }
        ("x86" | "i386" | "i686" | "386", v) => ("386".into(), v.map(Into::into)),
        ("armhf", None) => ("arm".into(), Some("v7".into())),
        ("armel", None) => ("arm".into(), Some("v6".into())),
        ("arm", Some(v @ ("5" | "6" | "7" | "8"))) => ("arm".into(), Some(format!("v{v}"))),
        ("powerpc64le", v) => ("ppc64le".into(), v.map(Into::into)),
        _ => (architecture, variant),
    }
}

/// The [data](crate::Error::data) of the error for an image that does not exist for a platform: the
/// platforms for which it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvailablePlatforms(pub Vec<Platform>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_names_are_normalized_and_invalid_names_are_refused() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
            ("linux/arm/6", "linux/arm/v6"),
            ("windows(10.0.20348.2113)/amd64", "windows(10.0.20348.2113)/amd64"),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "linux",
            "linux/",
            "a/b/c/d",
            "linux/am d64",
            "linux/amd64\n",
            "w()/a",
            "w(1/a",
            "(1)/a",
            "w(1)",
            "w(1)x/a",
            "w/a(1)",
            "w((1))/a",
        ] {
            assert!(Platform::parse(bad).is_err(), "{bad:?}");
        }
    }

    /// Uses the table of dreg-client, which accepts empty parts.
    #[test]
    fn a_platform_has_two_or_three_parts_and_no_part_is_empty() {
        for (text, parts) in [
            ("linux/amd64", ("linux", "amd64", None)),
            ("darwin/arm64", ("darwin", "arm64", None)),
            ("linux/arm/v7", ("linux", "arm", Some("v7"))),
        ] {
            let platform = Platform::parse(text).unwrap();
            let found = (&*platform.os, &*platform.architecture, platform.variant.as_deref());
            assert_eq!(found, parts);
            assert_eq!(platform.to_string(), text);
        }
        for (text, reason) in [
            ("linux", "expected two or three parts"),
            ("", "expected os/architecture[/variant]"),
            ("linux/arm/v/7", "expected two or three parts"),
            ("a/", "expected os/architecture[/variant]"),
            ("/", "expected os/architecture[/variant]"),
            ("linux//v7", "expected os/architecture[/variant]"),
        ] {
            let shown = Platform::parse(text).unwrap_err().to_string();
            assert!(shown.contains(reason) && shown.contains(&format!("\"{text}\"")), "{shown}");
        }
    }

    #[test]
    fn unspecified_parts_match_anything() {
        let arm = Platform::new("linux", "arm64", Some("v8"));
        assert!(arm.satisfies(&Platform::parse("linux/arm64").unwrap()));
        let v7 = Platform::new("linux", "arm", Some("v7"));
        assert!(v7.satisfies(&Platform::parse("linux/arm").unwrap()));
        assert!(!v7.satisfies(&Platform::parse("linux/arm/v6").unwrap()));
        assert!(v7.satisfies(&Platform::parse("linux/arm/v8").unwrap()), "v7 runs on v8");
    }

    #[test]
    fn windows_fields_and_unknown_fields_are_kept() {
        let json = r#"{"os":"windows","architecture":"amd64","os.version":"10.0.1","x":1}"#;
        let platform: Platform = serde_json::from_str(json).unwrap();
        assert_eq!(platform.os_version.as_deref(), Some("10.0.1"));
        let back = serde_json::to_value(&platform).unwrap();
        assert_eq!(back["os.version"], "10.0.1");
        assert_eq!(back["x"], 1);
    }
}
