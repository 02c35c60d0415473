//! Who may join, and what is said to those who may not.

use std::fs;

use crate::support::{DataPlane, Origin, PATIENCE, Pair, Site, within};

#[tokio::test]
async fn another_certificate_is_refused_and_both_sides_say_why() {
    let site = Site::new().await;
    let control_plane = site.control_plane().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;

    let stranger = Pair::generate(site.path(), "stranger");
    let mut data_plane = DataPlane::new(&site, control_plane.cluster);
    data_plane.process.set("cluster_cert", stranger.cert.display());
    data_plane.process.set("cluster_cert_key", stranger.key.display());
    data_plane.start().await;

    let why = "is not the cluster certificate";
    let theirs = control_plane.process.says(&["[error]", "is not accepted", why]).await;
    let ours = data_plane.process.says(&["[error]", "no link to control plane", why]).await;
    let digests = |line: &str| -> Vec<String> {
        let words = line.split(|c: char| !c.is_ascii_hexdigit());
        words.filter(|word| word.len() == 64).map(str::to_owned).collect()
    };
    let (mut shown, expected) = (digests(&theirs), digests(&ours));
    shown.reverse();
    assert!(shown.len() == 2 && shown[0] != shown[1], "{theirs}");
    assert_eq!(shown, expected, "each names what it was shown and what it has:\n{theirs}\n{ours}");

    assert_eq!(data_plane.get("/a").await.unwrap().status, 404, "it was told nothing");
    assert_eq!(data_plane.ready().await.status, 503);
    assert!(control_plane.data_planes().await.is_empty());

    data_plane.process.kill();
    data_plane.process.set("cluster_cert", site.pair.cert.display());
    data_plane.process.set("cluster_cert_key", site.pair.key.display());
    data_plane.start().await;
    data_plane.answers("/a", 200).await;
}

#[tokio::test]
async fn nodes_are_told_apart_and_recognised() {
    let site = Site::new().await;
    let (control_plane, mut first) = site.cluster().await;
    let second = site.data_plane(&control_plane).await;
    let ids = [first.id().await, second.id().await];
    assert_ne!(ids[0], ids[1]);

    first.process.kill();
    first.start().await;
    assert_eq!(first.id().await, ids[0]);
    within(PATIENCE, async || first.is_joined(&control_plane).await).await;
    let mut known: Vec<_> = control_plane.data_planes().await;
    known.retain(|row| ids.iter().any(|id| row["id"] == id.as_str()));
    assert_eq!(known.len(), 2);
    assert_eq!(control_plane.data_planes().await.len(), 2);
}

#[tokio::test]
async fn a_control_plane_with_another_database_is_not_believed() {
    let site = Site::new().await;
    let (mut control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;

    // The same certificate, the same address, but not the one that signed before.
    control_plane.process.kill();
    fs::remove_dir_all(control_plane.process.prefix()).unwrap();
    control_plane.start().await;
    control_plane.expose("b", "/b", &origin.url("/")).await;
    let line = data_plane.process.says(&["[error]", "this node trusts"]).await;
    assert!(line.contains("cluster_trust.pub"), "it says what to do: {line}");
    assert_eq!(data_plane.get("/a").await.unwrap().status, 200);
    assert_eq!(data_plane.get("/b").await.unwrap().status, 404);
}
