//! A consumer: who uses the services, known by credentials.

use crate::schema::{Check, Record};
use crate::value::{Tags, Timestamp};
use crate::{Entity, Id};

/// A person or program that uses services; plugins tell consumers apart by their credentials.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "consumers", checks = &[Check::AtLeastOneOf(&["custom_id", "username"])])]
pub struct Consumer {
    /// Identifies the consumer.
    #[field(auto)]
    pub id: Id<Consumer>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
    /// What it is called; stands for the id in URLs.
    #[field(unique, len_max = 2048)]
    pub username: Option<String>,
    /// What it is called by whoever keeps the users.
    #[field(unique, len_max = 2048)]
    pub custom_id: Option<String>,
    /// Labels to list consumers by.
    pub tags: Option<Tags>,
}

impl Entity for Consumer {
    const ENDPOINT_KEY: Option<&'static str> = Some("username");
}
