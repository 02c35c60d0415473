//! From a revision to what workers serve: compiling, judging, publishing, following.

#[path = "snapshot/compiling.rs"]
mod compiling;
#[path = "snapshot/publishing.rs"]
mod publishing;

use engine::router::{Match, RequestView};
use engine::snapshot::Snapshot;

/// The route of `GET path`.
fn get<'s>(snapshot: &'s Snapshot, path: &str) -> Option<Match<'s>> {
    snapshot.routes.find(&RequestView::new(b"", 80, path.as_bytes(), b"GET"))
}
