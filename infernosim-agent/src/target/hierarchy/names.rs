use std::path::{Path, PathBuf};

/// Fewer digits than this name no container.
const LEAST_DIGITS: usize = 4;
/// The ids of container runtimes have 64 hex digits (32 in some layouts); what has fewer than this is something
/// else, `session-3.scope` or a pid.
const LEAST_ID: usize = 12;
/// The endings of units that have cgroups (systemd.unit(5)).
const UNIT_ENDINGS: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];

/// The id of the container whose cgroup this is: `docker-<id>.scope`, `cri-containerd-<id>.scope`,
/// `crio-<id>.scope`, `libpod-<id>.scope`, `nerdctl-<id>.scope` with the systemd driver, `/docker/<id>`,
/// `/kubepods/…/<id>`, `crio-<id>` with cgroupfs. Its monitor (`libpod-conmon-<id>.scope`) is not the container.
pub fn container_id(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (runtime, id) = name.rsplit_once('-').unwrap_or(("", name));
    let is_monitor = runtime.ends_with("conmon");
    (!is_monitor && id.len() >= LEAST_ID && is_hex(id)).then_some(id)
}

/// Whether this is the cgroup of a container whose id begins with `id`.
pub fn is_container_with_id(path: &Path, id: &str) -> bool {
    let id = id.to_ascii_lowercase();
    id.len() >= LEAST_DIGITS && is_hex(&id) && container_id(path).is_some_and(|own| own.starts_with(&id))
}

/// Whether this is the cgroup of a container that its runtime knows by this name or whole id: LXC
/// (`lxc.payload.<name>`, `/lxc/<name>`), systemd-nspawn and machined (`machine-<name>.scope`).
pub fn is_container_named(path: &Path, name: &str) -> bool {
    let Some(own) = path.file_name().and_then(|own| own.to_str()) else { return false };
    let parent = path.parent().and_then(Path::file_name).and_then(|parent| parent.to_str());
    let escaped = escape(name).replace('-', "\\x2d");
    container_id(path) == Some(name)
        || own == format!("lxc.payload.{name}")
        || own == format!("machine-{escaped}.scope")
        || own == format!("systemd-nspawn@{escaped}.service")
        || own == name && matches!(parent, Some("lxc" | "lxc.payload"))
}

/// A unit as a user names it.
#[derive(Debug)]
pub struct Unit {
    name: String,
}

impl Unit {
    /// A service, unless the name has another unit's ending.
    pub fn new(name: &str) -> Self {
        let has_ending = UNIT_ENDINGS.iter().any(|ending| name.ends_with(ending));
        Self { name: if has_ending { name.to_owned() } else { format!("{name}.service") } }
    }

    /// Its whole name, as the user would write it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is its cgroup, or the one of an instance if it is a template.
    pub fn is(&self, path: &Path) -> bool {
        let Some(own) = path.file_name().and_then(|own| own.to_str()) else { return false };
        // systemd puts an underscore before names that a file of the kernel's might have (cg_escape).
        let same = |own: &str| own == self.name || own == escape(&self.name) || self.is_instance(own);
        same(own) || own.strip_prefix('_').is_some_and(same)
    }

    fn is_instance(&self, own: &str) -> bool {
        let Some((template, ending)) = self.name.split_once("@.") else { return false };
        let instance = own.strip_prefix(template).and_then(|rest| rest.strip_prefix('@'));
        let instance = instance.and_then(|rest| rest.strip_suffix(ending)?.strip_suffix('.'));
        instance.is_some_and(|instance| !instance.is_empty())
    }
}

/// Whether a unit's cgroup is one of the system's own manager: users' and containers' managers are themselves
/// units, so that not only slices are above theirs.
pub fn is_of_system_manager(path: &Path) -> bool {
    let mut above = path.parent().into_iter().flat_map(Path::components);
    above.all(|part| {
        let name = part.as_os_str().to_str();
        name == Some("/") || name.is_some_and(|name| name.ends_with(".slice"))
    })
}

/// A name as systemd writes it: other characters than letters, digits and `:_.-@\` as `\xNN`, slashes as hyphens
/// (systemd.unit(5), "String escaping for inclusion in unit names"; unit_name_mangle leaves the ones listed).
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'/' => escaped.push('-'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' | b'-' | b'@' | b'\\' => {
                escaped.push(byte as char);
            }
            _ => escaped.push_str(&format!("\\x{byte:02x}")),
        }
    }
    escaped
}

/// Those of `paths` whose last names are most like `name`, nearest first; none if none is like it.
pub fn near(name: &str, paths: &[PathBuf]) -> Vec<PathBuf> {
    let stem = |name: &str| -> String {
        let ending = UNIT_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
        ending.unwrap_or(name).to_lowercase()
    };
    let wanted = stem(name);
    let likeness = |path: &PathBuf| {
        let own = stem(path.file_name()?.to_str()?);
        let (short, long) = if own.len() < wanted.len() { (&own, &wanted) } else { (&wanted, &own) };
        let contained = short.len() >= 3 && long.contains(short.as_str());
        // One letter in three may be another.
        let distance = strsim::damerau_levenshtein(&wanted, &own);
        (contained || distance * 3 <= wanted.chars().count()).then_some(distance)
    };
    let mut like: Vec<_> = paths.iter().filter_map(|path| Some((likeness(path)?, path))).collect();
    like.sort();
    like.into_iter().map(|(_, path)| path.clone()).collect()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c0ffee0123456789abcdef0123456789abcdef0123456789abcdef012345a";

    #[test]
    fn each_runtimes_layout_is_known() {
        for layout in [
            "/system.slice/docker-ID.scope",
            "/docker/ID",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0a_1.slice/cri-containerd-ID.scope",
            "/kubepods/burstable/pod7d3a/ID",
            "/kubepods.slice/kubepods-pod1.slice/crio-ID.scope",
            "/kubepods/pod1/crio-ID",
            "/machine.slice/libpod-ID.scope",
            "/machine.slice/x.service/libpod-payload-ID",
            "/system.slice/nerdctl-ID.scope",
        ] {
            let path = layout.replace("ID", ID);
            assert_eq!(container_id(Path::new(&path)), Some(ID), "{layout}");
            for id in [ID, &ID[..12], "3f1c", "3F1C0FFEE"] {
                assert!(is_container_with_id(Path::new(&path), id), "{layout}: {id}");
            }
            for id in ["", "3f1", "f1c0", "3f1d", "docker", &format!("{ID}0")] {
                assert!(!is_container_with_id(Path::new(&path), id), "{layout}: {id}");
            }
        }
    }

    #[test]
    fn what_is_no_container_has_no_id() {
        for layout in [
            "/machine.slice/libpod-conmon-ID.scope",
            "/kubepods.slice/crio-conmon-ID.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/user.slice/user-1000.slice/session-3.scope",
            "/infernosim-123456",
            "/system.slice/ID.service",
            "/",
        ] {
            assert_eq!(container_id(Path::new(&layout.replace("ID", ID))), None, "{layout}");
        }
    }

    #[test]
    fn containers_with_names_go_by_their_names() {
        for path in [
            "/lxc.payload.shop-1",
            "/lxc/shop-1",
            "/lxc.payload/shop-1",
            "/machine.slice/machine-shop\\x2d1.scope",
            "/machine.slice/systemd-nspawn@shop\\x2d1.service",
        ] {
            assert!(is_container_named(Path::new(path), "shop-1"), "{path}");
            assert!(!is_container_named(Path::new(path), "shop"), "{path}");
        }
        for path in ["/lxc.monitor.shop-1", "/system.slice/shop-1", "/shop-1"] {
            assert!(!is_container_named(Path::new(path), "shop-1"), "{path}");
        }
    }

    #[test]
    fn units_are_found_as_systemd_names_their_directories() {
        let is = |name: &str, own: &str| Unit::new(name).is(&Path::new("/system.slice").join(own));
        assert!(is("shop", "shop.service") && is("shop.service", "shop.service"));
        assert!(!is("shop", "shop.scope") && !is("shop", "shops.service") && !is("shop", "shop"));
        assert!(is("run-1.scope", "run-1.scope") && is("system.slice", "system.slice"));
        assert!(is("a.b", "a.b.service"));
        assert!(is("shop@blue", "shop@blue.service") && !is("shop@blue", "shop@red.service"));
        assert!(is("shop@", "shop@blue.service") && is("shop@.service", "shop@red.service"));
        assert!(!is("shop@", "shop@blue.scope") && !is("shop@", "shopping@blue.service"));
        assert!(is("backup@srv-data\\x2d1", "backup@srv-data\\x2d1.service"));
        assert!(is("my shop", "my\\x20shop.service"));
        assert!(is("cgroup.service", "_cgroup.service") && is("_x", "__x.service"));
    }

    #[test]
    fn the_system_managers_units_are_below_slices_only() {
        let of_system = |path: &str| is_of_system_manager(Path::new(path));
        assert!(of_system("/system.slice/shop.service") && of_system("/a.slice/a-b.slice/shop.service"));
        assert!(of_system("/shop.service"));
        assert!(!of_system("/user.slice/user-1.slice/user@1.service/app.slice/shop.service"));
        assert!(!of_system("/system.slice/docker-0.scope/system.slice/shop.service"));
    }

    #[test]
    fn near_names_are_near() {
        let paths: Vec<PathBuf> =
            ["/a/shop.service", "/a/shops.service", "/b/workshop.slice", "/a/mail.service", "/"]
                .map(Into::into)
                .into();
        assert_eq!(near("shpo.service", &paths), [Path::new("/a/shop.service")]);
        let like = ["/a/shop.service", "/a/shops.service", "/b/workshop.slice"].map(PathBuf::from);
        assert_eq!(near("shop", &paths), like);
        assert_eq!(near("postgres", &paths), [""; 0].map(PathBuf::from));
        assert_eq!(near("", &paths), [""; 0].map(PathBuf::from));
    }
}
