//! A target: one address of an upstream, and its share of the load.

use serde_json::Value;

use crate::entities::Upstream;
use crate::schema::{Object, Record};
use crate::value::{PreciseTime, Reference, Tags, TargetAddress, target};
use crate::violation::Violations;
use crate::{Entity, Id, Terms};

/// Where an upstream's requests may go.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "targets", key = ["upstream", "target"], prepare = prepare)]
pub struct Target {
    /// Identifies the target.
    #[field(auto)]
    pub id: Id<Target>,
    /// When it was created, in seconds since 1970, to the millisecond.
    #[field(auto)]
    pub created_at: PreciseTime,
    /// When it was last changed, in seconds since 1970, to the millisecond.
    #[field(auto)]
    pub updated_at: PreciseTime,
    /// The upstream it is a target of.
    #[field(on_delete = "cascade")]
    pub upstream: Reference<Upstream>,
    /// A name or an address, and a port (8000 unless it is said); stands for the id in URLs.
    pub target: TargetAddress,
    /// Its share: so many of what all targets have together. 0 takes it out.
    #[field(default = 100, between = (0, 65535))]
    pub weight: u16,
    /// Labels.
    pub tags: Option<Tags>,
}

/// An address is kept in one form, so that nobody adds it twice.
fn prepare(record: &mut Object, _: Terms) -> Result<(), Violations> {
    let normal = record.get("target").and_then(Value::as_str).and_then(target::normal_form);
    if let Some(normal) = normal {
        record.insert("target".to_owned(), normal.into());
    }
    Ok(())
}

impl Entity for Target {
    const ENDPOINT_KEY: Option<&'static str> = None;
    const NESTED_KEY: Option<&'static str> = Some("target");
    const IS_TOP_LEVEL: bool = false;

    /// Also where it is not written as it is kept.
    fn named<'a>(mut siblings: impl Iterator<Item = &'a Self>, name: &str) -> Option<&'a Self> {
        let normal = target::normal_form(name)?;
        siblings.find(|sibling| sibling.target.as_str() == normal)
    }
}
