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

/// A small ext4 file system on a loop device; unmounted when dropped. Unlike one in memory it can fail.
pub struct Ext4 {
    path: PathBuf,
    _place: tempfile::TempDir,
}

impl Ext4 {
    /// Of so many MiB.
    pub fn new(mib: u64) -> Self {
        super::require_root();
        let place = tempfile::TempDir::with_prefix("infernosim-test-").unwrap();
        let (image, path) = (place.path().join("image"), place.path().join("disk"));
        std::fs::create_dir(&path).unwrap();
        std::fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let made = Self { path, _place: place };
        run("mkfs.ext4", &["-q".as_ref(), image.as_os_str()]);
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_os_str(), made.path.as_os_str()]);
        made
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As after a disk error: from here on every write fails with EROFS, also to files that are open.
    pub fn fail(&self) {
        run("mount", &["-o".as_ref(), "remount,abort".as_ref(), self.path.as_os_str()]);
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        let _ = umount(&self.path);
    }
}

fn run(name: &str, arguments: &[&std::ffi::OsStr]) {
    let output = std::process::Command::new(super::program(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
