use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount, umount};

/// A small file system in memory; unmounted when dropped.
pub struct Tmpfs {
    path: PathBuf,
    _place: tempfile::TempDir,
}

impl Tmpfs {
    /// Of so many KiB.
    pub fn new(kib: u32) -> Self {
        super::require_root();
        let place = tempfile::TempDir::with_prefix("infernosim-test-").unwrap();
        let path = place.path().join("small");
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={kib}k,mode=755");
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
        Self { path, _place: place }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = umount(&self.path);
    }
}
