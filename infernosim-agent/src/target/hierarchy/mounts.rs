use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

/// A mount of cgroup v2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The cgroup that stands at the mount point, as our cgroup namespace names it: `/` mostly, `/docker/<id>` where
    /// only a part is mounted, `/../..` where more is mounted than our namespace has (cgroup_namespaces(7)).
    root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
}

impl Mount {
    /// The directory of a cgroup that our namespace calls `path`, if it is below this mount's root.
    pub fn locate(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.root).ok()?;
        // Also where the root is `/../..`: what is then left without `..` is a path from there down.
        let leads_out = below.components().any(|part| part == Component::ParentDir);
        (!leads_out).then(|| self.below(below))
    }

    /// The directory of what is at `path`, absolute or not, from this mount's root.
    pub fn below(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix("/").unwrap_or(path);
        if below.as_os_str().is_empty() { self.point.clone() } else { self.point.join(below) }
    }
}

/// The mounts of cgroup v2 in proc_pid_mountinfo(5), those of the whole hierarchy first; and the mount points of v1.
pub fn parse(mountinfo: &[u8]) -> (Vec<Mount>, Vec<PathBuf>) {
    let (mut mounts, mut older) = (Vec::new(), Vec::new());
    for line in mountinfo.split(|byte| *byte == b'\n') {
        match mount(line) {
            Some((b"cgroup2", mount)) => mounts.push(mount),
            Some((b"cgroup", mount)) => older.push(mount.point),
            _ => {}
        }
    }
    // Stable: the order of mounting otherwise.
    mounts.sort_by_key(|mount: &Mount| mount.root != Path::new("/"));
    (mounts, older)
}

/// A line's file system type and what is mounted where.
fn mount(line: &[u8]) -> Option<(&[u8], Mount)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    // Any number of optional fields, a hyphen, the type.
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some((kind, Mount { root: unescape(root), point: unescape(point) }))
}

/// Space, tab, newline and backslash stand as a backslash and three octal digits (mangle in fs/proc_namespace.c).
fn unescape(field: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) if *first == b'\\' => {
                plain.push(code);
                rest = &after[3..];
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn located(mountinfo: &str, path: &str) -> Option<String> {
        let (mounts, _) = parse(mountinfo.as_bytes());
        let directory = mounts.iter().find_map(|mount| mount.locate(Path::new(path)))?;
        Some(directory.to_str().unwrap().to_owned())
    }

    #[test]
    fn cgroups_are_located_wherever_v2_is_mounted() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw shared:1 - tmpfs tmpfs rw,mode=755\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw shared:2 master:3 - cgroup2 cgroup2 rw\n";
        assert_eq!(located(hybrid, "/a/b").unwrap(), "/sys/fs/cgroup/unified/a/b");
        assert_eq!(located(hybrid, "/").unwrap(), "/sys/fs/cgroup/unified");
        assert_eq!(parse(hybrid.as_bytes()).1, [Path::new("/sys/fs/cgroup/systemd")]);
        let odd = "30 23 0:26 / /mnt/with\\040space\\134n rw - cgroup2 none rw\n";
        assert_eq!(located(odd, "/a").unwrap(), "/mnt/with space\\n/a");
        assert_eq!(located("30 23 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw\n", "/"), None);
    }

    #[test]
    fn a_container_sees_its_own_part() {
        let part = "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(located(part, "/docker/abc/x").unwrap(), "/sys/fs/cgroup/x");
        assert_eq!(located(part, "/docker/abc").unwrap(), "/sys/fs/cgroup");
        assert_eq!(located(part, "/docker/abcdef"), None, "another container");
        assert_eq!(located(part, "/system.slice"), None);
        let own = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(located(own, "/../outside"), None);
        assert_eq!(located(own, "/../../system.slice/shop.service"), None);
    }

    #[test]
    fn the_hosts_cgroups_mounted_in_a_container_are_reached() {
        let both = "50 23 0:26 /../.. /host/cgroup ro - cgroup2 cgroup2 ro\n\
            30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(located(both, "/own").unwrap(), "/sys/fs/cgroup/own");
        assert_eq!(
            located(both, "/../../system.slice/shop.service").unwrap(),
            "/host/cgroup/system.slice/shop.service"
        );
        // How the cgroup between is called, our namespace does not say.
        assert_eq!(located(both, "/../sibling"), None);
        assert_eq!(located(both, "/../../../x"), None);
    }

    proptest! {
        #[test]
        fn no_mountinfo_is_a_panic(bytes: Vec<u8>, text in "[0-9 /\\\\a-c\n-]{0,80}") {
            let _ = (parse(&bytes), parse(text.as_bytes()));
        }
    }
}
