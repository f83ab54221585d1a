use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::play::{Dependencies, Listening, SHOPS, command, customer};
use super::story::{Told, expected, recorded};
use super::{assert_passed_on, assert_redacted};
use crate::harness::{INFERNOSIM, Output, Recording, eventually, program, text};

/// A user that every Debian has; its number is fixed by policy.
const NOBODY: u32 = 65534;

/// `infernosim proxy` or `infernosim inbound`, run by nobody; killed when dropped.
struct Explicit {
    child: Child,
    stderr: Output,
    /// Where it listens.
    url: String,
}

impl Explicit {
    fn start(place: &Path, words: &[&str]) -> Self {
        let mut command = Command::new(program("setpriv"));
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
        // The build directory may be one that nobody may not enter.
        command.arg(place.join("infernosim")).args(words).args(["--listen", ":0"]).current_dir(place);
        for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = Output::of(child.stderr.take().unwrap());
        let ready = stderr.line("infernosim: capturing");
        let url = ready.split(' ').find(|word| word.starts_with("http://127.0.0.1:"));
        let url = url.unwrap_or_else(|| panic!("where? {ready}")).to_owned();
        Self { child, stderr, url }
    }

    fn end(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        eventually("infernosim ends", || self.child.try_wait().unwrap().is_some());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.stderr.so_far());
    }
}

impl Drop for Explicit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of nobody's, with the binary in it.
fn nobodys_place() -> Arc<TempDir> {
    let place = TempDir::with_prefix("infernosim-test-").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::copy(INFERNOSIM, place.path().join("infernosim")).unwrap();
    Arc::new(place)
}

/// Lets the customer into a shop between the two proxies: what he was told, and what was recorded.
fn mediated(shop: &str, mut variables: Vec<String>) -> (Vec<Told>, Recording) {
    let place = nobodys_place();
    let proxy = Explicit::start(place.path(), &["proxy", "--log", "outbound.log"]);
    variables.push(format!("HTTP_PROXY={}", proxy.url));
    let process = Listening::start(&command(shop, &variables));
    let address = process.url(shop);
    let inbound = Explicit::start(place.path(), &["inbound", "--log", "inbound.log", "--forward", &address]);
    let told = customer(&inbound.url);
    drop(process);
    inbound.end();
    proxy.end();
    let recording = Recording::read(place.path()).keeping(&place);
    recording.assert_whole();
    (told, recording)
}

/// The story is the one that a transparent capture tells, to the byte.
fn a_shop_between_proxies_is_recorded_as_it_spoke(shop: &str) {
    let dependencies = Dependencies::start();
    let (told, recording) = mediated(shop, dependencies.variables());
    let story = expected(shop);
    let should: Vec<Told> = story.iter().map(|visit| visit.told.clone()).collect();
    assert_eq!(told, should, "the customer of {shop}");
    assert_eq!(recorded(&recording, &dependencies), story);
    assert_redacted(&recording);
    assert_passed_on(&recording);
}

#[test]
fn a_shop_between_proxies_in_python() {
    a_shop_between_proxies_is_recorded_as_it_spoke("shop-python");
}

#[test]
fn a_shop_between_proxies_in_node() {
    a_shop_between_proxies_is_recorded_as_it_spoke("shop-node");
}

#[test]
fn a_shop_between_proxies_in_go() {
    a_shop_between_proxies_is_recorded_as_it_spoke("shop-go");
}

#[test]
fn a_shop_between_proxies_in_rust() {
    a_shop_between_proxies_is_recorded_as_it_spoke("shop-rust");
}

#[test]
fn a_courier_behind_the_proxy_who_is_not_there_costs_no_order_and_is_recorded() {
    for shop in SHOPS {
        let dependencies = Dependencies::start();
        let mut variables = dependencies.variables();
        // Later words of env(1) win. Nobody listens at port 1.
        variables.push("COURIER_URL=http://127.0.0.1:1".to_owned());
        let (told, recording) = mediated(shop, variables);
        let orders: Vec<&Told> = told.iter().filter(|(status, _)| *status == 201).collect();
        assert_eq!(orders.len(), 3, "{shop}: {told:?}");
        assert!(orders.iter().all(|(_, order)| order["courier"].is_null()), "{shop}: {told:?}");
        let calls = recording.calls().into_iter();
        let refused: Vec<_> = calls.filter(|call| text(&call["service"]) == "127.0.0.1:1").collect();
        assert_eq!(refused.len(), 3, "{shop}: {refused:#?}");
        for call in refused {
            let outcome = (call["status"].as_u64(), text(&call["errno"]));
            assert_eq!(outcome, (Some(502), "ECONNREFUSED"), "{shop}: {call:#}");
        }
    }
}
