//! The JSON Schema of fault plans, read by a validator that nobody here wrote: it takes what the document shows and what is
//! written of a ledger, and finds what is misspelt.

use std::fs;
use std::path::Path;
use std::process::Command;

use infernosim::fault::{Plan, Rule};

/// Validates each plan given, and says `valid` or where it is not.
const VALIDATE: &str = "
import json, sys, tomllib
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
for plan in sys.argv[2:]:
    errors = list(Draft202012Validator(schema).iter_errors(tomllib.loads(plan)))
    print('valid' if not errors else 'invalid')
";

fn validate(plans: &[&str]) -> Vec<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut python = Command::new("/usr/bin/python3");
    let output =
        python.args(["-c", VALIDATE]).arg(docs.join("fault-plan.schema.json")).args(plans).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn what_is_a_plan_is_valid() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md")).unwrap();
    let mut plans: Vec<String> =
        page.split("```toml\n").skip(1).map(|rest| rest[..rest.find("```").unwrap()].to_owned()).collect();
    assert!(plans.len() >= 2, "the page shows plans");
    let rules = [
        "dep=a dep=b:80 p=0.5 at=2 latency=+200ms~50ms",
        "op='GET /x' every=2 first=3 after=1s during=2s reset corrupt=3 set-header=A:b set-header=C:d",
        "dir=in cancel",
        "stream=upstream slice=64~16,10ms bandwidth=100",
        "set-header=a:b set-json=c:1 set-header=d:e",
    ];
    let rules: Vec<Rule> = rules.iter().filter_map(|rule| Rule::parse(rule).ok()).collect();
    assert_eq!(rules.len(), 4, "p and at do not go together");
    plans.push(Plan { seed: u64::MAX, rules }.to_toml());
    plans.push("seed = 0".to_owned());
    let verdicts = validate(&plans.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(verdicts.iter().all(|verdict| verdict == "valid"), "{verdicts:?} {plans:?}");
    assert_eq!(verdicts.len(), plans.len());
}

#[test]
fn what_is_none_is_not() {
    let plans = [
        "sede = 7",
        "seed = -1",
        "[[rule]]\nlatncy = '1s'",
        "[[rule]]\ndep = 'a'",
        "[[rule]]\nreset = false",
        "[[rule]]\nrule = 'reset'\np = 1",
        "[[rule]]\nstatus = [500, 501]",
        "[[rule]]\ndep = []\nreset = true",
    ];
    for plan in plans {
        assert!(Plan::from_toml(plan, "plan").is_err(), "{plan}");
    }
    assert_eq!(validate(&plans), vec!["invalid"; plans.len()]);
}
