//! Revision × previous snapshot → next snapshot, or every reason why not.
//!
//! Costs what the revision changed: services and routes that did not change are
//! shared. A route holds its service, so a changed service touches the routes that
//! point at it; their patterns stay, and with them the table's trees.

use super::remarks::Remarks;
use super::{CompiledRoute, CompiledService, Snapshot, UpstreamTls};
use crate::router::{Change, Pattern, RouterPriority, Unserved, expression_of};
use model::config::Difference;
use model::entities::{CaCertificate, Route, Service};
use model::value::{Host, IpRange, Millis, Protocol};
use model::vitals::Problem;
use model::{Config, Entity, EntityKind, Flavor, Id, Revision};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The code of a problem with something this version does not serve.
pub const NOT_SERVED: &str = "not_served";
/// The code of a reference to what does not exist.
pub const DANGLING: &str = "dangling_reference";
/// The code of a regular expression that routes cannot have.
pub const BAD_REGEX: &str = "invalid_regex";
/// The code of an expression that cannot be read or makes no sense.
pub const BAD_EXPRESSION: &str = "invalid_expression";
/// The code of a route that is written in another flavor than this node reads.
pub const OTHER_FLAVOR: &str = "router_flavor";

/// What an operator may choose about compiling; a snapshot has the choice of the one it
/// follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompileOptions {
    /// Which of two routes that match the same request serves it.
    pub router_priority: RouterPriority,
    /// How routes may be written.
    pub router_flavor: Flavor,
}

/// Compiles a revision into the snapshot that follows `previous`.
///
/// # Errors
/// Everything about the revision that cannot be served; `previous` is unharmed.
pub fn compile(revision: &Revision, previous: &Snapshot) -> Result<Snapshot, Vec<Problem>> {
    let mut step = Step {
        config: &revision.config,
        previous,
        services: previous.services.clone(),
        touched: BTreeSet::new(),
        remarks: previous.remarks.clone(),
        problems: Vec::new(),
    };
    step.compile_services();
    let changes = step.compile_routes();
    let certificates =
        previous.certificates.patched(&revision.config, &previous.config, &mut step.problems);
    if !step.problems.is_empty() {
        return Err(step.problems);
    }
    Ok(Snapshot {
        id: revision.id,
        routes: previous.routes.patched(changes),
        certificates,
        services: step.services,
        config: revision.config.clone(),
        options: previous.options,
        remarks: step.remarks,
        regexes: previous.regexes.clone(),
    })
}

/// One compilation under way.
struct Step<'a> {
    config: &'a Config,
    previous: &'a Snapshot,
    services: imbl::OrdMap<Id<Service>, Arc<CompiledService>>,
    /// Routes that may not be what they were.
    touched: BTreeSet<Id<Route>>,
    remarks: Remarks,
    problems: Vec<Problem>,
}

impl Step<'_> {
    fn compile_services(&mut self) {
        let services = self.config.all::<Service>();
        for difference in services.since(self.previous.config.all()) {
            let (Difference::Put(stored) | Difference::Deleted(stored)) = difference;
            let service = &stored.entity;
            let routes = self.config.all::<Route>().pointing_at("service", service.id.uuid(), None);
            self.touched.extend(routes.map(|route| route.id));
            self.services.remove(&service.id);
            if let Difference::Put(_) = difference {
                let found = problems_of(service, self.config);
                self.problems.extend(found);
                if service.enabled {
                    self.services.insert(service.id, Arc::new(compile_service(service)));
                }
            }
        }
    }

    fn compile_routes(&mut self) -> Vec<Change> {
        for difference in self.config.all::<Route>().since(self.previous.config.all()) {
            let (Difference::Put(stored) | Difference::Deleted(stored)) = difference;
            self.touched.insert(stored.entity.id);
        }
        let touched = std::mem::take(&mut self.touched);
        touched.into_iter().filter_map(|id| self.compile_route(id)).collect()
    }

    /// What becomes of a route: none if it is to blame for a problem.
    fn compile_route(&mut self, id: Id<Route>) -> Option<Change> {
        self.remarks.forget(id);
        let Some(route) = self.config.get(id) else { return Some(Change::Remove(id)) };
        if !Pattern::is_for_http(route) {
            self.check_stream(route);
            return Some(Change::Remove(id));
        }
        let pattern = self.pattern_of(route);
        if let Some(pattern) = &pattern {
            self.remarks.note(route, pattern);
        }
        let service = match route.service.map(|reference| reference.id) {
            None => None,
            Some(service) if self.config.get(service).is_none() => {
                let message = format!("its service {service} does not exist");
                self.problems.push(Problem::of(EntityKind::Route, id, DANGLING, message));
                return None;
            }
            Some(service) => match self.services.get(&service) {
                Some(service) => Some(Arc::clone(service)),
                // Its routes are not there while a service is not enabled.
                None => return pattern.map(|_| Change::Remove(id)),
            },
        };
        Some(Change::Put(Arc::new(compile_route(route, pattern?, service))))
    }

    /// The pattern of a route, unless it cannot be served.
    fn pattern_of(&mut self, route: &Route) -> Option<Arc<Pattern>> {
        // Its requests would pass as any others, unasked whether they are gRPC, and over TLS.
        let is_grpc = |protocol: &&Protocol| matches!(protocol, Protocol::Grpc | Protocol::Grpcs);
        if let Some(protocol) = route.protocols.iter().find(is_grpc) {
            let message =
                format!("this version does not serve routes for protocol `{protocol}` yet");
            let problem = Problem::of(EntityKind::Route, route.id, NOT_SERVED, message);
            self.problems.push(problem.at("protocols"));
            return None;
        }
        let Snapshot { options, regexes, .. } = self.previous;
        match Pattern::of(route, *options, regexes) {
            Ok(pattern) => Some(Arc::new(pattern)),
            Err(unserved) => {
                self.blame(route, &unserved);
                None
            }
        }
    }

    /// A route for streams is not served yet, but must be one that could be.
    fn check_stream(&mut self, route: &Route) {
        let Snapshot { options, regexes, .. } = self.previous;
        match expression_of(route, options.router_flavor, regexes) {
            Ok(expression) => self.remarks.note_stream(route, expression.as_ref()),
            Err(unserved) => self.blame(route, &unserved),
        }
    }

    fn blame(&mut self, route: &Route, unserved: &[Unserved]) {
        self.problems.extend(unserved.iter().map(|unserved| {
            let code = match unserved {
                Unserved::Regex { .. } => BAD_REGEX,
                Unserved::LongPath(_) | Unserved::LongHost(_) => NOT_SERVED,
                Unserved::Expression(_) => BAD_EXPRESSION,
                Unserved::Flavor(_) => OTHER_FLAVOR,
            };
            let problem = Problem::of(EntityKind::Route, route.id, code, unserved.to_string());
            problem.at(unserved.field())
        }));
    }
}

fn compile_route(
    route: &Route,
    pattern: Arc<Pattern>,
    service: Option<Arc<CompiledService>>,
) -> CompiledRoute {
    let has = |protocol| route.protocols.contains(&protocol);
    let demands_tls = has(Protocol::Https) && !has(Protocol::Http);
    CompiledRoute {
        id: route.id,
        name: route.name.clone(),
        strip_path: route.strip_path,
        preserve_host: route.preserve_host,
        https_only: demands_tls.then_some(route.https_redirect_status_code),
        service,
        pattern,
    }
}

/// What is wrong with a service, enabled or not.
fn problems_of(service: &Service, config: &Config) -> Vec<Problem> {
    let problem = |code: &str, message| Problem::of(Service::KIND, service.id, code, message);
    let mut problems = Vec::new();
    if !matches!(service.protocol, Protocol::Http | Protocol::Https) {
        let message = format!("this version does not serve protocol `{}` yet", service.protocol);
        problems.push(problem(NOT_SERVED, message));
    }
    // Passing it over would serve without the check that was asked for.
    if service.tls_verify == Some(true) {
        let message = "this version does not verify certificates of upstreams yet".to_owned();
        problems.push(problem(NOT_SERVED, message));
    }
    if service.client_certificate.is_some() {
        let message = "this version does not show certificates to upstreams yet".to_owned();
        problems.push(problem(NOT_SERVED, message));
    }
    let is_missing = |id: &&Uuid| config.get(Id::<CaCertificate>::from(**id)).is_none();
    for id in service.ca_certificates.iter().flatten().filter(is_missing) {
        problems.push(problem(DANGLING, format!("its CA certificate {id} does not exist")));
    }
    problems
}

/// Kong's values for what is null.
const TIMEOUT: Duration = Duration::from_millis(60_000);
const RETRIES: u16 = 5;

fn compile_service(service: &Service) -> CompiledService {
    let timeout = |millis: Option<Millis>| millis.map_or(TIMEOUT, Millis::duration);
    CompiledService {
        id: service.id,
        name: service.name.clone(),
        protocol: service.protocol,
        host: service.host.clone(),
        address: address_of(&service.host),
        port: service.port,
        path: service.path.clone(),
        connect_timeout: timeout(service.connect_timeout),
        write_timeout: timeout(service.write_timeout),
        read_timeout: timeout(service.read_timeout),
        retries: service.retries.unwrap_or(RETRIES),
        tls: UpstreamTls { verify: service.tls_verify, verify_depth: service.tls_verify_depth },
    }
}

/// The address a host is, in brackets or not, if it is not a name.
fn address_of(host: &Host) -> Option<IpAddr> {
    let text = host.as_str();
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse::<IpRange>().ok().map(|range| range.parts().0)
}
