//! Bodies made up at random: each is read or refused, and what is read is an entity or refused.

use http_body_util::Full;
use model::EntityKind;
use model::schema::{self, Violations};
use proptest::prelude::*;

use super::*;
