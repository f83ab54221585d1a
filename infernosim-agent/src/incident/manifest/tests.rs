use std::fs;

use super::*;

#[test]
fn the_names_on_disk_are_those_of_the_contract() {
    let manifest = Manifest {
        format_version: FormatVersion { major: 1, minor: 0 },
        tool: Tool { name: "infernosim".into(), version: "0.1.0".into() },
        target: Target {
            command: vec!["curl".into()],
            pid: Some(7),
            user: Some("ann".into()),
            ..Target::default()
        },
        ended_at: Some("e".into()),
        dependencies: vec![Dependency { service: "s".into(), protocol: "tcp".into(), calls: 1, failed: 0 }],
        unmediated: BTreeMap::from([("udp".into(), 1)]),
        logs: BTreeMap::from([("outbound.log".into(), LogFile::default())]),
        ..Manifest::default()
    };
    insta::assert_snapshot!(serde_json::to_string(&manifest).unwrap(), @r#"{"formatVersion":"1.0","tool":{"name":"infernosim","version":"0.1.0"},"target":{"command":["curl"],"pid":7,"user":"ann"},"host":{"kernel":"","arch":"","hostname":""},"startedAt":"","endedAt":"e","closed":false,"counts":{},"lost":{"events":0,"bytes":0},"dependencies":[{"service":"s","protocol":"tcp","calls":1,"failed":0}],"unmediated":{"udp":1},"redaction":{"policy":"none"},"logs":{"outbound.log":{"sha256":"","bytes":0,"lines":0}}}"#);
}

fn read(text: &str) -> Result<Option<Manifest>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE_NAME), text).unwrap();
    Manifest::read(dir.path())
}

#[test]
fn other_versions() {
    let minor = read(r#"{"formatVersion":"1.99","novelty":[1]}"#).unwrap().unwrap();
    assert_eq!(minor.format_version, FormatVersion { major: 1, minor: 99 });
    assert_eq!(read("{}").unwrap().unwrap().format_version, FormatVersion { major: 1, minor: 0 });

    // A newer major version is told as such, whatever shape the rest has.
    let error = read(r#"{"formatVersion":"2.0","tool":{"version":"9.8.7"},"lost":"all"}"#).unwrap_err();
    assert_eq!(error.exit, Exit::Incident);
    assert!(
        error.message.ends_with("incident.json: format 2.0 is newer than what this infernosim reads (1.0)"),
        "{error}"
    );
    assert_eq!(error.help.as_deref(), Some("use infernosim 9.8.7, which wrote it, or newer"));

    let error = read(r#"{"formatVersion":"0.9"}"#).unwrap_err();
    assert!(error.message.contains("format 0.9 is older"), "{error}");
}

#[test]
fn malformed_is_said_with_its_place() {
    for text in [
        r#"{"formatVersion":"one"}"#,
        r#"{"formatVersion":"1.+2"}"#,
        r#"{"formatVersion":"1."}"#,
        r#"{"formatVersion":1}"#,
        "{",
        "\n\n!",
    ] {
        let error = read(text).expect_err(text);
        assert!(error.message.contains("incident.json: malformed: "), "{error}");
        assert_eq!(error.exit, Exit::Incident);
    }
    assert!(read("\n\n!").unwrap_err().message.contains("line 3"), "the line is named");
}
