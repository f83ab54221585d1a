//! The incidents that are committed under `examples/`: they are read, they hold what their READMEs say, and they hold
//! nothing of the machine that they were recorded on. `UPDATE_EXAMPLES=1` writes what `inspect` shows into the READMEs.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

const SHOPS: [&str; 4] = ["shop-python", "shop-node", "shop-go", "shop-rust"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples")
}

/// What `infernosim inspect` says, which must be content.
fn inspect(incident: &Path, options: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infernosim"));
    command.arg("inspect").arg(incident).args(options).env_remove("NO_COLOR");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    assert_eq!(said, "", "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of an incident, in their order.
fn lines(incident: &Path, options: &[&str]) -> Vec<Value> {
    let all = [&["--json"], options].concat();
    inspect(incident, &all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn statuses(lines: &[Value]) -> Vec<u64> {
    lines.iter().filter_map(|line| line["status"].as_u64()).collect()
}

/// The README's last block of text is what `inspect` shows.
fn assert_shown(readme: &Path, shown: &str) {
    let (start, end) = ("```text\n", "```\n");
    let written = fs::read_to_string(readme).unwrap();
    let (before, block) =
        written.rsplit_once(start).unwrap_or_else(|| panic!("{}: no block", readme.display()));
    let (block, after) = block.split_once(end).unwrap();
    let shown = format!("{}\n", shown.trim_end());
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        fs::write(readme, format!("{before}{start}{shown}{end}{after}")).unwrap();
    } else {
        assert_eq!(block, shown, "{}: UPDATE_EXAMPLES=1 writes it", readme.display());
    }
}

#[test]
fn the_incidents_of_the_shops_hold_what_their_readmes_say() {
    for shop in SHOPS {
        let incident = examples().join(shop).join("incident");
        assert_shown(&examples().join(shop).join("README.md"), &inspect(&incident, &[]));

        let inbound = lines(&incident, &["--inbound"]);
        assert_eq!(statuses(&inbound), [200, 201, 201, 201, 409, 402, 404], "{shop}");
        let service = |name: &str| lines(&incident, &["--outbound", "--service", name]);
        assert_eq!(statuses(&service("inventory.shop.test")), [200, 200, 200, 200, 200, 200, 404], "{shop}");
        assert_eq!(statuses(&service("payments.shop.test")), [200, 200, 200, 402], "{shop}");
        assert_eq!(statuses(&service("courier.shop.test")), [200, 200, 503], "{shop}");
        let names: BTreeSet<String> =
            lines(&incident, &["--dns"]).iter().map(|line| text(&line["name"]).to_owned()).collect();
        let called = ["courier.shop.test", "inventory.shop.test", "payments.shop.test"];
        assert!(names.iter().eq(called), "{shop}: {names:?}");
        assert_eq!(lines(&incident, &[]).len(), {
            let dns = lines(&incident, &["--dns"]).len();
            dns + 2 * 7 + 14
        });
    }
}

#[test]
fn the_calls_of_a_shop_lie_within_the_request_that_caused_them_and_carry_its_name() {
    for shop in SHOPS {
        let mut asked = BTreeMap::new();
        let mut current = None;
        for line in lines(&examples().join(shop).join("incident"), &["--inbound", "--outbound"]) {
            let header = |name: &str| {
                let headers = line["headers"].as_object().unwrap();
                let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                text(&found.unwrap_or_else(|| panic!("{shop}: no {name} in {line:#}")).1[0]).to_owned()
            };
            match text(&line["type"]) {
                "InboundRequest" => current = Some((header("X-Request-Id"), header("traceparent"))),
                "InboundResponse" => current = None,
                _ => {
                    let cause =
                        current.clone().unwrap_or_else(|| panic!("{shop}: nobody asked for {line:#}"));
                    assert_eq!((header("X-Request-Id"), header("traceparent")), cause, "{shop}");
                    *asked.entry(cause.0).or_insert(0) += 1;
                }
            }
        }
        let calls: Vec<i32> = asked.into_values().collect();
        assert_eq!(calls, [1, 3, 3, 3, 1, 2, 1], "{shop}");
    }
}

#[test]
fn no_secret_and_nothing_of_the_recording_machine_is_committed() {
    for shop in SHOPS {
        let incident = examples().join(shop).join("incident");
        let files: BTreeSet<String> = fs::read_dir(&incident)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            // Whoever records anew has it, and git does not take it.
            .filter(|name| name != "secrets.json")
            .collect();
        assert!(files.iter().eq(["inbound.log", "incident.json", "outbound.log"]), "{shop}: {files:?}");

        let manifest: Value =
            serde_json::from_slice(&fs::read(incident.join("incident.json")).unwrap()).unwrap();
        assert_eq!(manifest["closed"], true, "{shop}");
        assert_eq!(manifest["lost"]["events"], 0, "{shop}");
        assert_eq!(
            (&manifest["host"]["hostname"], &manifest["target"]["user"]),
            (&"shop".into(), &"nobody".into())
        );
        for (name, log) in manifest["logs"].as_object().unwrap() {
            let bytes = fs::read(incident.join(name)).unwrap();
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text(&log["sha256"]), digest, "{shop}: {name}");
            assert!(!String::from_utf8(bytes).unwrap().contains("shop-secret"), "{shop}: {name}");
        }
        for line in lines(&incident, &[]) {
            assert!(text(&line["peer"]).starts_with("10.77.0."), "{shop}: {line:#}");
            if text(&line["service"]) == "payments.shop.test" {
                let headers = line["headers"].as_object().unwrap();
                let (_, value) =
                    headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")).unwrap();
                assert!(text(&value[0]).starts_with("Bearer redacted-"), "{shop}: {line:#}");
            }
        }
    }
}

#[test]
fn an_incident_of_the_first_infernosim_is_read_as_it_is() {
    let incident = examples().join("incident-v1");
    assert!(!incident.join("incident.json").exists());
    assert_shown(&incident.join("README.md"), &inspect(&incident, &[]));
    let all = lines(&incident, &[]);
    let types: Vec<&str> = all.iter().map(|line| text(&line["type"])).collect();
    assert_eq!(
        types,
        ["InboundRequest", "OutboundCall", "InboundResponse"].repeat(3),
        "in the order of time"
    );
    for line in &all {
        assert!(line.get("sequence").is_none(), "{line:#}");
    }
    let filtered = inspect(&incident, &["--service", "worldtimeapi.org"]);
    assert_eq!(filtered.matches("http://worldtimeapi.org/api/timezone/Etc/UTC").count(), 3, "{filtered}");
}
