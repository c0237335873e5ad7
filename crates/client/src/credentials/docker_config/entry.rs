//! One entry of `auths`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::credentials::helper::TOKEN_USER;
use crate::credentials::{Credential, Login, Secret};

/// Returns the credential in an entry. The error does not quote the entry.
///
/// An identity token takes precedence over the login in the same entry. Such a login is a
/// placeholder: in Azure's entries, the user is all zeros.
pub(super) fn credential(entry: &Value, source: &str) -> Result<Credential, &'static str> {
    let found = if let Some(token) = text(entry, "identitytoken") {
        let user = login(entry).ok().flatten().map(|login| login.user).unwrap_or_default();
        Credential::identity_token(user, Secret::new(token), source)
    } else if let Some(token) = text(entry, "registrytoken") {
        Credential::registry_token(Secret::new(token), source)
    } else {
        match login(entry)? {
            None => return Ok(Credential::anonymous(format_args!("{source} is empty"))),
            Some(login) if login.user == TOKEN_USER => {
                Credential::identity_token("", login.password, source)
            }
            Some(login) => Credential::login(login.user, login.password, source),
        }
    };
    if found.secrets().iter().any(|secret| secret.expose().contains(char::is_control)) {
        return Err("a token has a control character");
    }
    Ok(found)
}

/// Makes the entry for a user and password, in the form that Docker writes.
pub(super) fn of(login: &Login) -> Value {
    let pair = Secret::new(format!("{}:{}", login.user, login.password.expose()));
    serde_json::json!({ "auth": BASE64.encode(pair.expose()) })
}

/// Returns true if an entry has any credential.
pub(super) fn is_used(entry: &Value) -> bool {
    FIELDS.iter().any(|field| text(entry, field).is_some())
}

fn text<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Returns the user and password of an entry, if there are any. The error does not quote the entry.
fn login(entry: &Value) -> Result<Option<Login>, &'static str> {
    let (user, password) = match (text(entry, "auth"), text(entry, "username")) {
        (Some(auth), _) => {
            let decoded = BASE64.decode(auth.trim()).map_err(|_| "\"auth\" is not base64")?;
            let pair = String::from_utf8(decoded).map_err(|_| "\"auth\" is not valid UTF-8")?;
            let pair = Secret::new(pair);
            let (user, password) = pair.expose().split_once(':').ok_or("\"auth\" has no ':'")?;
            (user.to_owned(), Secret::new(password))
        }
        (None, Some(user)) => {
            (user.to_owned(), Secret::new(text(entry, "password").unwrap_or_default()))
        }
        (None, None) => return Ok(None),
    };
    if user.contains(char::is_control) || password.expose().contains(char::is_control) {
        return Err("the user name or password has a control character");
    }
    if user.is_empty() && password.expose().is_empty() {
        return Ok(None);
    }
    Ok(Some(Login { user, password }))
}

/// The fields that hold credentials.
const FIELDS: [&str; 4] = ["auth", "username", "identitytoken", "registrytoken"];
