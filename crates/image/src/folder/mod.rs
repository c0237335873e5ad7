//! Packs a folder into a layer, and unpacks a layer into a folder, in the format of ORAS.
//!
//! Owns the rules for the content of such an archive: folders, files, and links within the folder,
//! all below the folder's name. Handles annotations, but not manifests. The program uses this
//! module.
//!
//! Source: oras-go, `content/file`. Entries are named `<title>/…`. For the title `.`, entries have
//! no prefix.

mod links;
mod merge;
mod pack;
mod plan;
#[cfg(test)]
mod tests;
mod unpack;

pub use pack::FolderArchive;
pub use unpack::unpack_folder;
