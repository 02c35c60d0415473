//! Routes for streams: compiled like those for requests, into a table of their own.

use super::{DANGLING, Step};
use crate::router::{CompiledStream, StreamChange, StreamPattern};
use model::EntityKind;
use model::entities::Route;
use model::vitals::Problem;
use std::sync::Arc;

impl Step<'_> {
    /// What becomes of a route for streams: none if it is to blame for a problem.
    pub(super) fn compile_stream(&mut self, route: &Route) -> Option<StreamChange> {
        let pattern = match StreamPattern::of(route, self.previous.options.router, &self.regexes) {
            Ok(pattern) => pattern,
            Err(unserved) => {
                self.blame(route, &unserved);
                return None;
            }
        };
        let is_served = self.previous.options.streams;
        self.remarks.note_stream(route, pattern.is_dated(), is_served);
        let service = match route.service.map(|reference| reference.id) {
            None => None,
            Some(service) if self.config.get(service).is_none() => {
                let message = format!("its service {service} does not exist");
                self.problems.push(Problem::of(EntityKind::Route, route.id, DANGLING, message));
                return None;
            }
            Some(service) => match self.services.get(&service) {
                Some(service) => Some(Arc::clone(service)),
                // Its routes are not there while a service is not enabled.
                None => {
                    pattern.give_back(&self.regexes);
                    return Some(StreamChange::Remove(route.id));
                }
            },
        };
        Some(StreamChange::Put(Arc::new(CompiledStream::new(route, pattern, service))))
    }
}
