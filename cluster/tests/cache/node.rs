//! A data plane with a cache: what its engine serves is kept, told, and served again after a restart.

use std::sync::Arc;

use cluster::cache::{Cache, Loaded, Off};
use cluster::client::{Keep, Node};
use model::vitals::Verdict;
use model::{Revision, RevisionId};
use tokio::sync::watch;

use super::support::{BINDING, ControlPlane, Kept, node_options, peer, until};
use super::{Prefix, check_is, open, trusting};

fn open_for(prefix: &Prefix, cp: &ControlPlane) -> (Cache, Loaded) {
    open(&prefix.cache(), trusting(prefix.dir.path(), &cp.source.key)).unwrap()
}

/// Lets a data plane with this cache follow a control plane until it serves a revision. True if the control
/// plane was told that it is cached.
async fn follow(prefix: &Prefix, cp: &ControlPlane, keep: Arc<dyn Keep>, head: RevisionId) -> bool {
    let mut options = node_options(prefix.dir.path(), Revision::empty(), Arc::new(Kept::default()));
    options.keep = keep;
    let node = Arc::new(Node::new(options));
    let verdicts = watch::Sender::new(Verdict::default());
    let reporting = tokio::spawn(node.report(verdicts.subscribe()));
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let hub = Arc::clone(&cp.hub);
    let serving = tokio::spawn(async move { hub.converse(theirs, &peer()).await });
    let following = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.converse(ours, &BINDING, "cp:8005", std::future::pending()).await }
    });

    node.revisions().wait_for(|revision| revision.id == head).await.unwrap();
    verdicts.send_modify(|verdict| verdict.effective = Some(head));
    let acked = || cp.row(node.id()).filter(|row| row.effective == Some(head));
    until("the revision is acknowledged", || acked().is_some()).await;
    let cached = acked().unwrap().cached;
    following.abort();
    serving.abort();
    drop(verdicts);
    let _ = following.await; // with these goes their hold on the cache
    reporting.await.unwrap();
    cached
}

#[tokio::test]
async fn a_restarted_node_serves_what_it_served() {
    let (prefix, cp) = (Prefix::new(), ControlPlane::new());
    let (cache, _) = open_for(&prefix, &cp);
    let head = cp.source.put(1, "orders.example");
    assert!(follow(&prefix, &cp, Arc::new(cache), head.id).await);

    let (cache, loaded) = open_for(&prefix, &cp);
    check_is(&cache.verify(loaded).unwrap(), &head);
}

#[tokio::test]
async fn a_node_without_a_cache_says_so() {
    let (prefix, cp) = (Prefix::new(), ControlPlane::new());
    let head = cp.source.put(1, "orders.example");
    assert!(!follow(&prefix, &cp, Arc::new(Off), head.id).await);
}
