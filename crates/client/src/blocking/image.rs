//! Images and files in a store, waited for.

use std::path::{Path, PathBuf};

use longshore_core::{
    Descriptor, Digest, Image, MediaType, Pack, Placed, Platform, RawManifest, Result, Source,
    image_for, images_of, pull_files,
};

use super::runtime::wait;
use super::store::Store;

impl<S: Source + ?Sized> Store<S> {
    /// Reads an image's configuration, which tells of its layers and history. Of an index,
    /// [`image_for`](Self::image_for) chooses the manifest before.
    ///
    /// # Errors
    /// As [`Image::read`].
    pub fn image(&self, manifest: RawManifest) -> Result<Image> {
        wait(Image::read(self.inner(), manifest))
    }

    /// The image for a platform: of an index, the one that it lists for it.
    ///
    /// # Errors
    /// As [`image_for`](fn@image_for).
    pub fn image_for(&self, manifest: RawManifest, platform: &Platform) -> Result<RawManifest> {
        wait(image_for(self.inner(), manifest, platform))
    }

    /// The images that a manifest offers, each with its platform.
    ///
    /// # Errors
    /// As [`images_of`](fn@images_of).
    pub fn images_of(&self, manifest: &RawManifest) -> Result<Vec<Descriptor>> {
        wait(images_of(self.inner(), manifest))
    }

    /// Writes the blobs that a manifest lists to a folder, each under its title, or if it has none, under
    /// its digest; returns their paths.
    ///
    /// # Errors
    /// As [`pull_files`](fn@pull_files).
    pub fn pull_files(&self, manifest: &RawManifest, folder: &Path) -> Result<Vec<PathBuf>> {
        wait(pull_files(self.inner(), manifest, folder))
    }

    /// Writes one file that a manifest lists below a folder; returns its path.
    ///
    /// # Errors
    /// As [`Placed::write`].
    pub fn write_placed(&self, file: &Placed, folder: &Path) -> Result<PathBuf> {
        wait(file.write(self.inner(), folder))
    }

    /// A manifest in the making whose config this store holds already; see [`Pack::of_held`].
    ///
    /// # Errors
    /// As there.
    pub fn pack_of_held(&self, config: &Digest, media_type: MediaType) -> Result<Pack> {
        wait(Pack::of_held(self.inner(), config, media_type))
    }
}

/// Adds a file of any size to a manifest in the making, as a layer under its own name; see
/// [`Pack::file_at`].
///
/// # Errors
/// As there.
pub fn file_at(pack: Pack, path: &Path, media_type: MediaType) -> Result<Pack> {
    wait(pack.file_at(path, media_type))
}
