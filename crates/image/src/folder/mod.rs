//! A folder as a layer, and a layer as a folder, as ORAS stores folders in artifacts.
//!
//! Owns what may be in such an archive: folders, files, and links that stay within, each under the
//! folder's name. It knows the annotations, and nothing of manifests. The program uses it.
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
