//! The conversation between the planes, both ends over a pipe and on a clock the test owns.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test may fail, and shares its helpers")]

#[path = "../support/mod.rs"]
mod support;
mod script; // an end spoken by the test

mod admission; // who is taken on
mod updates; // what is sent
mod foreign; // what only a newer version can read
mod belief; // what is believed
mod verdicts; // what the engine makes of it
mod life; // heartbeats, silence, leaving
mod bounds; // what a peer can ask of the other
mod damage; // bytes that are not what they should be
