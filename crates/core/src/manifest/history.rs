use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One step of an image's making.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By what command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Fields unknown to longshore.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl History {
    /// The step as its author wrote it, or nearly: without the shell and the marks that builders put
    /// around it. `None` where the image does not say.
    ///
    /// ```
    /// # use longshore_core::History;
    /// let step = History {
    ///     created_by: Some("/bin/sh -c #(nop)  CMD [\"bash\"]".to_owned()),
    ///     ..History::default()
    /// };
    /// assert_eq!(step.instruction().as_deref(), Some("CMD [\"bash\"]"));
    /// ```
    #[must_use]
    pub fn instruction(&self) -> Option<Cow<'_, str>> {
        self.created_by.as_deref().map(clean)
    }
}

/// Takes off what the classic builder and BuildKit add to an instruction.
fn clean(created_by: &str) -> Cow<'_, str> {
    let text = created_by.trim();
    let text = text.strip_prefix(NO_OPERATION).unwrap_or(text);
    let text = text.strip_suffix(BUILDKIT).unwrap_or(text).trim();
    let command = text.strip_prefix("RUN ").unwrap_or(text).strip_prefix(SHELL);
    match command {
        Some(command) => Cow::Owned(format!("RUN {}", command.trim())),
        None => Cow::Borrowed(text),
    }
}

/// The shell that both builders run commands with.
const SHELL: &str = "/bin/sh -c";
/// What the classic builder puts before instructions that run nothing.
const NO_OPERATION: &str = "/bin/sh -c #(nop)";
/// What BuildKit puts after instructions.
const BUILDKIT: &str = "# buildkit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_lose_what_builders_put_around_them() {
        for (written, shown) in [
            ("/bin/sh -c #(nop) ADD file:abc in / ", "ADD file:abc in /"),
            ("/bin/sh -c #(nop)  CMD [\"bash\"]", "CMD [\"bash\"]"),
            ("RUN /bin/sh -c apt-get update # buildkit", "RUN apt-get update"),
            ("/bin/sh -c apt-get update", "RUN apt-get update"),
            ("COPY a b # buildkit", "COPY a b"),
            ("RUN |1 A=b /bin/sh -c echo hi # buildkit", "RUN |1 A=b /bin/sh -c echo hi"),
            ("", ""),
        ] {
            let step = History { created_by: Some(written.to_owned()), ..History::default() };
            assert_eq!(step.instruction().unwrap(), shown, "{written}");
        }
        assert_eq!(History::default().instruction(), None);
    }
}
