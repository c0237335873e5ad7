//! The commands. Each command has a module with its name. A command reads its arguments, performs
//! one operation through the context, and returns. Only `demo` runs other commands.

pub(crate) mod append;
pub(crate) mod apply;
pub(crate) mod artifact;
pub(crate) mod auth;
pub(crate) mod blob;
pub(crate) mod catalog;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod demo;
pub(crate) mod digest;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod layer;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod manifest;
pub(crate) mod namespaces;
pub(crate) mod ping;
pub(crate) mod platforms;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod referrers;
pub(crate) mod request;
pub(crate) mod rm;
pub(crate) mod serve;
pub(crate) mod tag;
pub(crate) mod untag;
#[cfg(feature = "legacy")]
pub(crate) mod v1;
