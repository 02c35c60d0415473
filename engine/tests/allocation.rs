//! Finding a route allocates nothing. In a file of its own, since what counts allocations
//! is the allocator of all tests beside it.

#[path = "router/world.rs"]
mod world;

use allocation_counter::measure;
use engine::snapshot::{Snapshot, compile};
use model::Config;
use model::testing::revision;
use world::{Ask, Random, Variety, some_route};

#[test]
fn finding_a_route_allocates_nothing() {
    for variety in [Variety::All, Variety::Lists] {
        let mut random = Random(1);
        let mut config = Config::default();
        for _ in 0..100 {
            let id = random.uuid();
            config.write(some_route(&mut random, id, variety));
        }
        let snapshot = compile(&revision(1, config), &Snapshot::empty()).expect("it can be served");
        let asks: Vec<_> = (0..1000).map(|_| Ask::any(&mut random)).collect();
        let find_all =
            || asks.iter().filter(|ask| snapshot.routes.find(&ask.view()).is_some()).count();
        // Regular expressions get their scratch space when a thread first searches with them.
        assert!(find_all() > 500);
        let counted = measure(|| {
            find_all();
        });
        assert_eq!(counted.count_total, 0, "{variety:?}");
    }
}
