//! Which route of a snapshot a request would take, what would become of it, and why no
//! other route serves it.
//!
//! The route is the one the table finds. All the others are looked at one by one, so that
//! this takes time in proportion to them: it is for operators, on a thread that may block.

mod sent; // a question as a request

use super::{CompiledRoute, Snapshot};
use crate::proxy::preview::Preview;
use crate::router::explain::{
    Attribute, Fare, Nearness, Standing, agreements, fare, found, matched_by, nearness, wanted,
};
use crate::router::{Pattern, RequestView, RouterPriority};
use model::entities::{Plugin, Route, Service};
use model::explain::{
    Answered, Asked, Explanation, Matched, MatchedPath, Named, NearMiss, OtherOrder, Outranked,
    Question,
};
use sent::Sent;
use std::cmp::Reverse;

/// Explains what this snapshot makes of a request.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Explanation {
    let sent = Sent::of(question);
    let asking = Asking { snapshot, sent: &sent, request: sent.view() };
    asking.explanation(usize::from(question.limit))
}

/// A question under way.
struct Asking<'a> {
    snapshot: &'a Snapshot,
    sent: &'a Sent<'a>,
    request: RequestView<'a, Sent<'a>>,
}

/// What the routes come to that have something to do with a request.
#[derive(Default)]
struct Survey<'a> {
    serving: Vec<&'a Route>,
    missing: Vec<(Nearness, Attribute, &'a Route)>,
}

impl<'a> Asking<'a> {
    fn explanation(&self, limit: usize) -> Explanation {
        let Snapshot { config, options, routes, .. } = self.snapshot;
        let order = options.router.router_priority;
        let Survey { serving, missing } = self.survey();
        let mut standings = self.in_order(&serving, order);
        // The table has the last word; what it finds is the first of these.
        let winner = routes.find(&self.request).map(|found| found.route.id);
        let winner = standings.iter().position(|standing| Some(standing.route.id) == winner);
        let winner = winner.map(|at| standings.remove(at));
        let others = self.in_order(&serving, order.other());
        let told = standings.iter().take(limit);
        Explanation {
            configuration_hash: config.hash().to_string(),
            routes: routes.len(),
            router_priority: order.into(),
            request: self.asked(),
            matched: winner.as_ref().and_then(|winner| self.matched(winner)),
            other_order: winner.as_ref().and_then(|winner| self.other_order(winner, &others)),
            outranked: winner.as_ref().map_or_else(Vec::new, |winner| {
                told.map(|standing| self.outranked(standing, winner, &others)).collect()
            }),
            outranked_total: standings.len(),
            near_misses_total: missing.len(),
            near_misses: self.nearest(missing, limit),
            notes: self.notes(winner.is_some()),
        }
    }

    fn survey(&self) -> Survey<'a> {
        let mut survey = Survey::default();
        for route in self.snapshot.config.all::<Route>().iter() {
            match self.compiled(route).map(|route| &*route.pattern) {
                Some(pattern) => match fare(pattern, &self.request) {
                    Fare::Serves => survey.serving.push(route),
                    Fare::Misses(attribute) => {
                        let near = nearness(attribute, pattern, &self.request);
                        survey.missing.extend(near.map(|near| (near, attribute, route)));
                    }
                    Fare::Unrelated => {}
                },
                None if self.would_serve(route) => {
                    survey.missing.push((Nearness::default(), Attribute::Service, route));
                }
                None => {}
            }
        }
        survey
    }

    /// Whether a route that the table leaves out, as its service is not enabled, would match.
    fn would_serve(&self, route: &Route) -> bool {
        let Snapshot { options, regexes, .. } = self.snapshot;
        // With an account of its own: what is compiled only to be asked is no part of the snapshot.
        let pattern = || Pattern::of(route, options.router, &regexes.clone()).ok();
        Pattern::is_for_http(route)
            && pattern().is_some_and(|pattern| fare(&pattern, &self.request) == Fare::Serves)
    }

    fn compiled(&self, route: &Route) -> Option<&'a CompiledRoute> {
        self.snapshot.routes.by_id(route.id)
    }

    /// Those that match, the first in line first.
    fn in_order(&self, serving: &[&'a Route], order: RouterPriority) -> Vec<Standing<'a>> {
        let standing = |route: &&'a Route| {
            let pattern = &self.compiled(route)?.pattern;
            Standing::of(route, pattern, &self.request, order)
        };
        let mut all: Vec<_> = serving.iter().filter_map(standing).collect();
        all.sort_unstable_by_key(|standing| Reverse(standing.place));
        all
    }

    fn asked(&self) -> Asked {
        let request = &self.request;
        Asked {
            method: text(request.method),
            scheme: self.sent.question.scheme.to_string(),
            host: text(request.host),
            port: request.port,
            path: text(request.path),
            sni: request.sni.map(text),
        }
    }

    fn matched(&self, winner: &Standing<'a>) -> Option<Matched> {
        let route = self.compiled(winner.route)?;
        let preview = self.preview(winner.part.prefix_len);
        let path = self.request.path;
        let entry = matched_by(winner.route, &route.pattern, &winner.part, path);
        let matched = text(path.get(..winner.part.prefix_len).unwrap_or_default());
        let (upstream, answer) = match preview.outcome(route) {
            Ok(upstream) => (Some(upstream), None),
            Err(answer) => (None, Some(answer)),
        };
        Some(Matched {
            route: named(winner.route),
            service: self.service(winner.route),
            by: agreements(winner.route, &self.request),
            path: entry.map(|entry| MatchedPath {
                pattern: entry.to_owned(),
                matched,
                stripped: preview.stripped(route).is_some(),
            }),
            plugins: match preview.answered_early(route) {
                Some(_) => Vec::new(),
                None => self.snapshot.plugins_of(route).each().map(met).collect(),
            },
            upstream,
            answer,
        })
    }

    /// The request, of whose path a route matched so many bytes.
    fn preview(&self, prefix_len: usize) -> Preview<'_> {
        let Sent { question, is_tls, .. } = self.sent;
        Preview {
            method: self.request.method,
            is_tls: *is_tls,
            host: self.sent.host().as_bytes(),
            target: question.path.as_bytes(),
            names_grpc: self.sent.names_grpc(),
            version: question.http_version,
            prefix_len,
        }
    }

    /// What goes first of all in the other order, if it is another route.
    fn other_order(&self, winner: &Standing<'a>, others: &[Standing<'a>]) -> Option<OtherOrder> {
        let first = others.first().filter(|first| first.route.id != winner.route.id)?;
        let there = others.iter().find(|other| other.route.id == winner.route.id)?;
        Some(OtherOrder {
            router_priority: self.snapshot.options.router.router_priority.other().into(),
            route: named(first.route),
            decided_by: first.decided_by(there),
            because: first.because(there),
        })
    }

    fn outranked(
        &self,
        loser: &Standing<'a>,
        winner: &Standing<'a>,
        others: &[Standing<'a>],
    ) -> Outranked {
        let mut line = others.iter().map(|other| other.route.id);
        let first = line.find(|id| [loser.route.id, winner.route.id].contains(id));
        Outranked {
            route: named(loser.route),
            service: self.service(loser.route),
            decided_by: winner.decided_by(loser),
            because: winner.because(loser),
            first_in_other_order: first == Some(loser.route.id),
        }
    }

    fn nearest(
        &self,
        mut missing: Vec<(Nearness, Attribute, &'a Route)>,
        limit: usize,
    ) -> Vec<NearMiss> {
        missing.sort_unstable_by_key(|(near, _, route)| (*near, route.id));
        let told = missing.into_iter().take(limit);
        told.map(|(_, attribute, route)| {
            let pattern = self.compiled(route).map(|route| &*route.pattern);
            NearMiss {
                route: named(route),
                service: self.service(route),
                attribute: attribute.to_string(),
                wanted: wanted(attribute, route, pattern, &self.request),
                found: found(attribute, pattern, &self.request),
            }
        })
        .collect()
    }

    fn service(&self, route: &Route) -> Option<Named> {
        let id = route.service?.id;
        let name = self.snapshot.config.get(id).and_then(|service: &Service| service.name.as_ref());
        Some(Named { id: id.uuid(), name: name.map(|name| name.as_str().to_owned()) })
    }

    fn notes(&self, is_matched: bool) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(refused) = self.preview(0).refused().filter(|_| !is_matched) {
            let Answered { status, message, .. } = refused;
            notes.push(format!("the answer is {status}, before a route is looked for: {message}"));
        }
        if std::str::from_utf8(self.request.path).is_err() {
            notes.push("the path is not UTF-8 once it is decoded: no route matches it".to_owned());
        }
        if self.request.port.is_none() {
            notes.push(
                "the Host names a port there is none of: no host with a port matches".to_owned(),
            );
        }
        notes
    }
}

fn named(route: &Route) -> Named {
    let name = route.name.as_ref().map(|name| name.as_str().to_owned());
    Named { id: route.id.uuid(), name }
}

fn met((id, name): (model::Id<Plugin>, &str)) -> Named {
    Named { id: id.uuid(), name: Some(name.to_owned()) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
