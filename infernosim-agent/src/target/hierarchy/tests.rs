use tempfile::TempDir;

use super::*;

const A: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90";
const B: &str = "a1b2ffffe5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90";

/// A hierarchy of ordinary directories.
struct Tree {
    place: TempDir,
    hierarchy: Hierarchy,
}

impl Tree {
    fn new(cgroups: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let point = place.path().display();
        let mountinfo = format!(
            "30 23 0:26 / {point}/v2 rw - cgroup2 none rw\n31 23 0:27 / {point}/v1 rw - cgroup none rw\n"
        );
        let tree = Self { hierarchy: Hierarchy::from_mountinfo(mountinfo.as_bytes()).unwrap(), place };
        for cgroup in ["/"].iter().chain(cgroups) {
            let mut path = tree.at(cgroup);
            fs::create_dir_all(&path).unwrap();
            while path.starts_with(tree.at("/")) {
                fs::write(path.join("cgroup.controllers"), "").unwrap();
                path.pop();
            }
        }
        fs::create_dir_all(tree.place.path().join("v1/shop")).unwrap();
        tree
    }

    fn at(&self, cgroup: &str) -> PathBuf {
        self.place.path().join("v2").join(cgroup.trim_start_matches('/')).components().collect()
    }

    /// What a look-up found, from the root, or the whole error.
    fn said(&self, found: Result<PathBuf>) -> String {
        match found {
            Ok(path) => format!("/{}", path.strip_prefix(self.at("/")).unwrap().display()),
            Err(error) => {
                let help = error.help.unwrap_or_default();
                let sentence = format!("{}: {} → {help}", error.exit as u8, error.message);
                sentence.replace(&self.place.path().display().to_string(), "PLACE")
            }
        }
    }

    fn cgroup(&self, path: &str) -> String {
        self.said(self.hierarchy.cgroup(path))
    }

    fn container(&self, id: &str) -> String {
        self.said(self.hierarchy.container(id))
    }

    fn unit(&self, name: &str) -> String {
        self.said(self.hierarchy.unit(name))
    }
}

#[test]
fn a_path_is_taken_from_the_root_or_from_where_it_is_mounted() {
    let tree = Tree::new(&["/system.slice/shop.service/inner", "/system.slice/shopping.service"]);
    let shop = "/system.slice/shop.service";
    let mounted = tree.at(shop).display().to_string();
    for path in
        [shop, "system.slice/shop.service", "//system.slice//shop.service/", &mounted, &format!("{mounted}/")]
    {
        assert_eq!(tree.cgroup(path), shop, "{path}");
        assert_eq!(
            tree.hierarchy.cgroup(path).unwrap().as_os_str(),
            tree.at(shop).as_os_str(),
            "{path}: one spelling"
        );
    }
    assert_eq!(tree.cgroup("/"), "/");
    assert_eq!(tree.cgroup(&tree.at("/").display().to_string()), "/");
}

#[test]
fn a_path_that_is_not_there_is_an_error_with_near_names() {
    let tree = Tree::new(&["/system.slice/shop.service", "/system.slice/mail.service"]);
    let none = tree.cgroup("/system.slice/shpo.service");
    assert_eq!(
        none,
        "2: there is no cgroup /system.slice/shpo.service below PLACE/v2 → there is /system.slice/shop.service"
    );
    assert!(tree.cgroup("/shop.service").ends_with("→ there is /system.slice/shop.service"));
    assert!(tree.cgroup("/postgres").ends_with("→ `systemd-cgls` shows the cgroups of this host"));
    assert!(
        tree.cgroup("/system.slice/../..").starts_with("2: the cgroup path /system.slice/../.. has .. in it")
    );
    let older = tree.place.path().join("v1/shop");
    let said = tree.cgroup(older.to_str().unwrap());
    assert_eq!(
        said,
        "3: PLACE/v1/shop is a cgroup of v1 (PLACE/v1); cgroup v2 is needed → the v2 hierarchy is mounted at PLACE/v2"
    );
}

#[test]
fn a_container_is_found_by_its_id_or_a_beginning_of_it() {
    let docker = format!("/system.slice/docker-{A}.scope");
    let podman = format!("/machine.slice/libpod-{B}.scope");
    let monitor = format!("/machine.slice/libpod-conmon-{B}.scope");
    let inner = format!("{docker}/docker/{A}");
    let tree = Tree::new(&[&docker, &inner, &format!("{podman}/container"), &monitor, "/lxc.payload.shop"]);
    for id in [A, &A[..12], "a1b2c", "A1B2C3", &format!("docker://{A}")] {
        assert_eq!(tree.container(id), docker, "{id}");
    }
    for id in [B, "a1b2f"] {
        assert_eq!(tree.container(id), podman, "{id}");
    }
    assert_eq!(tree.container("shop"), "/lxc.payload.shop");
    let both = tree.container("a1b2");
    let expected = format!(
        "2: the container id a1b2 fits 2 cgroups: {podman}, {docker} → give more digits of it, or one of these paths with --cgroup"
    );
    assert_eq!(both, expected);
    for id in ["a1b", "ffff", "", "/", "libpod"] {
        let none = tree.container(id);
        assert_eq!(
            none,
            format!("2: no cgroup here is of a container with the id {id} → there is {podman}, {docker}")
        );
    }
}

#[test]
fn a_unit_is_found_by_its_name() {
    let tree = Tree::new(&[
        "/system.slice/shop.service",
        "/system.slice/system-work.slice/work@1.service",
        "/system.slice/system-work.slice/work@2.service",
        "/system.slice/system-mail.slice/mail@in.service",
        "/user.slice/user-1.slice/user@1.service/app.slice/shop.service",
        "/user.slice/user-1.slice/user@1.service/app.slice/editor.service",
        "/user.slice/user-2.slice/user@2.service/app.slice/editor.service",
    ]);
    assert_eq!(tree.unit("shop"), "/system.slice/shop.service");
    assert_eq!(tree.unit("mail@"), "/system.slice/system-mail.slice/mail@in.service");
    assert_eq!(tree.unit("work@2.service"), "/system.slice/system-work.slice/work@2.service");
    assert_eq!(tree.unit("user-1.slice"), "/user.slice/user-1.slice");
    let several = tree.unit("work@");
    assert!(
        several.starts_with(
            "2: the unit work@.service fits 2 cgroups: /system.slice/system-work.slice/work@1.service, "
        ),
        "{several}"
    );
    let several = tree.unit("editor");
    assert!(
        several.starts_with("2: the unit editor.service fits 2 cgroups: /user.slice/user-1.slice/"),
        "{several}"
    );
    let none = tree.unit("shopp");
    assert!(none.starts_with("2: no cgroup here is of the unit shopp.service; it may not be running → there is /system.slice/shop.service"), "{none}");
    assert!(tree.unit("postgres").ends_with("→ look with `systemctl status postgres.service`"));
}

#[test]
fn many_names_are_not_all_listed() {
    let ids: Vec<String> = (0..20).map(|number| format!("/docker/abcd{number:060x}")).collect();
    let tree = Tree::new(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let said = tree.container("abcd");
    assert!(
        said.starts_with("2: the container id abcd fits 20 cgroups: ") && said.contains(" and 12 more → "),
        "{said}"
    );
}

#[test]
fn the_cgroup_of_a_process_is_what_its_membership_says() {
    let tree = Tree::new(&["/a/b"]);
    let of = |membership: &str| tree.said(tree.hierarchy.of_membership(7, membership.as_bytes()));
    assert_eq!(of("4:memory:/x\n0::/a/b\n"), "/a/b");
    assert_eq!(of("0::/\n"), "/");
    assert_eq!(of("4:memory:/x\n"), "3: process 7 is in no cgroup of the v2 hierarchy → ");
    assert!(
        of("0::/../b\n")
            .starts_with("3: the cgroup /../b of process 7 lies outside of what is mounted here → ")
    );
    assert!(of("0::/gone\n").starts_with("3: the cgroup /gone of process 7 lies outside"));
    assert!(of("0::/a (deleted)\n").starts_with("3: process 7 is in a cgroup that has been removed"));
}

#[test]
fn a_process_that_is_not_there_is_said() {
    let tree = Tree::new(&[]);
    let said = tree.said(tree.hierarchy.of_process(0));
    assert!(said.starts_with("2: there is no process 0; it may have ended"), "{said}");
    assert_eq!(tree.hierarchy.own(), tree.at("/"), "our own cgroup is not in this tree");
}

#[test]
fn a_host_without_v2_is_told_how_to_have_it() {
    let error =
        Hierarchy::from_mountinfo(b"30 23 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw\n").unwrap_err();
    assert_eq!((error.exit, error.message.as_str()), (Exit::Host, "no cgroup v2 hierarchy is mounted here"));
}

#[test]
fn a_proc_of_another_pid_namespace_is_refused() {
    assert!(check_numbers(Some("17"), 17).is_ok());
    // Without /proc other sentences say so.
    assert!(check_numbers(None, 17).is_ok());
    let error = check_numbers(Some("4711"), 1).unwrap_err();
    assert!(error.exit == Exit::Host && error.help.unwrap().contains("mount -t proc"), "{}", error.message);
}
