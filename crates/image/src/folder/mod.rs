//! A folder as a layer, and a layer as a folder, as ORAS stores folders in artifacts.
//!
//! Owns what such an archive may contain: folders, files, and links that stay within, each under
//! the folder's name. It knows the annotations, but not manifests. The program uses it.
//!
//! Source: oras-go, `content/file`: entries are `<title>/…`, those of the title `.` have no prefix.

mod links;
mod merge;
mod pack;
mod plan;
#[cfg(test)]
mod tests;
mod unpack;

pub use pack::FolderArchive;
pub use unpack::unpack_folder;
