//! `gateway hybrid gen_cert`: the pair, as Kong makes it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::*;

#[test]
fn gen_cert_writes_a_pair_once() {
    let dir = tempfile::tempdir().unwrap();
    let here = |args: &[&str]| said(program(Path::new(GATEWAY)).args(args).current_dir(dir.path()));
    let mode =
        |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;

    assert_eq!(
        here(&["hybrid", "gen_cert"]).well(),
        "Successfully generated certificate/key pairs, they have been written to: './cluster.crt' and './cluster.key'.\n"
    );
    assert_eq!((mode("cluster.crt"), mode("cluster.key")), (0o644, 0o600));
    let before = fs::read(dir.path().join("cluster.key")).unwrap();
    let error = here(&["hybrid", "gen_cert"]).badly();
    assert!(
        error.starts_with("Error: ./cluster.crt already exists.\nWill not overwrite it.\n"),
        "{error}"
    );
    assert_eq!(fs::read(dir.path().join("cluster.key")).unwrap(), before);
    let error = here(&["hybrid", "gen_cert", "only.crt"]).badly();
    assert!(error.starts_with("Error: both cert and key path needs to be provided\n"), "{error}");
}

#[test]
fn gen_cert_makes_what_kong_makes() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (
        dir.path().join("a.crt").display().to_string(),
        dir.path().join("a.key").display().to_string(),
    );
    gateway(&["hybrid", "gen_cert", &cert, &key, "--days", "10"]).well();
    let Ok(output) =
        Command::new("openssl").args(["x509", "-in", &cert, "-noout", "-text"]).output()
    else {
        return; // no openssl on this machine; the cluster crate reads the pair with its own tools
    };
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["Issuer: CN = kong_clustering", "Subject: CN = kong_clustering", "secp384r1"] {
        let unspaced = part.replace(" = ", "="); // as newer releases write it
        assert!(text.contains(part) || text.contains(&unspaced), "{part}\n{text}");
    }
    for (seconds, holds) in [(86_400 * 10 - 3600, true), (86_400 * 10 + 3600, false)] {
        let mut command = Command::new("openssl");
        let status = command
            .args(["x509", "-in", &cert, "-noout", "-checkend", &seconds.to_string()])
            .stdout(Stdio::null())
            .status();
        assert_eq!(status.unwrap().success(), holds, "{seconds}");
    }
    assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
}
