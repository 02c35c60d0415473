//! Revision × previous snapshot → next snapshot, or every reason why not.
//!
//! Costs what the revision changed: services and routes that did not change are
//! shared. A route holds its service, so a changed service touches the routes that
//! point at it; their patterns stay, and with them the table's trees.

mod streams; // routes for streams

use super::authorities::Authorities;
use super::certificates::UNUSABLE;
use super::plugins::{self, Plugins};
use super::remarks::Remarks;
use super::upstream_tls::Sources;
use super::{Certificates, CompiledRoute, CompiledService, GrpcOver, Snapshot, UpstreamDefaults};
use crate::router::{Change, Pattern, Regexes, RouterPriority, StreamChange, Unserved};
use boring::error::ErrorStack;
use model::config::Difference;
use model::entities::{CaCertificate, Certificate, Plugin, Route, Service};
use model::value::{Host, IpRange, Millis, Protocol};
use model::vitals::Problem;
use model::{Config, Entity, EntityKind, Flavor, Id, Listed, Revision};
use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The code of a problem with something this version does not serve.
pub const NOT_SERVED: &str = "not_served";
/// The code of a reference to what does not exist.
pub const DANGLING: &str = "dangling_reference";
/// The code of a plugin that cannot do what it is told.
pub const BAD_PLUGIN: &str = "invalid_plugin";
/// The code of a regular expression that routes cannot have.
pub const BAD_REGEX: &str = "invalid_regex";
/// The code of an expression that cannot be read or makes no sense.
pub const BAD_EXPRESSION: &str = "invalid_expression";
/// The code of a route that is written in another flavor than this node reads.
pub const OTHER_FLAVOR: &str = "router_flavor";

/// What an operator may choose about compiling; a snapshot has the choice of the one it
/// follows.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// How routes are written and ranked.
    pub router: RouterOptions,
    /// How TLS is spoken with services that do not say.
    pub upstream_tls: Arc<UpstreamDefaults>,
    /// Whether there are listeners for streams.
    pub streams: bool,
}

/// How routes are written and ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterOptions {
    /// Which of two routes that match the same request serves it.
    pub router_priority: RouterPriority,
    /// How routes may be written.
    pub router_flavor: Flavor,
}

impl From<RouterOptions> for CompileOptions {
    fn from(router: RouterOptions) -> CompileOptions {
        CompileOptions { router, ..CompileOptions::default() }
    }
}

/// Compiles a revision into the snapshot that follows `previous`.
///
/// # Errors
/// Everything about the revision that cannot be served; `previous` is unharmed.
pub fn compile(revision: &Revision, previous: &Snapshot) -> Result<Snapshot, Vec<Problem>> {
    let (config, before) = (&revision.config, &previous.config);
    let mut problems = Vec::new();
    let mut step = Step {
        config,
        previous,
        certificates: previous.certificates.patched(config, before, &mut problems),
        authorities: previous.authorities.patched(config, before, &mut problems),
        plugins: previous.plugins.clone(),
        services: previous.services.clone(),
        touched: BTreeSet::new(),
        remarks: previous.remarks.clone(),
        regexes: previous.regexes.clone(),
        is_full: false,
        problems,
    };
    super::keys::check(config, before, &mut step.problems);
    step.compile_services();
    step.compile_plugins();
    let (changes, stream_changes) = step.compile_routes();
    if !step.problems.is_empty() {
        return Err(step.problems);
    }
    Ok(Snapshot {
        id: revision.id,
        routes: previous.routes.patched(changes),
        streams: previous.streams.patched(stream_changes),
        certificates: step.certificates,
        authorities: step.authorities,
        plugins: step.plugins,
        services: step.services,
        config: revision.config.clone(),
        options: previous.options.clone(),
        remarks: step.remarks,
        regexes: step.regexes,
        trusts: previous.trusts.clone(),
    })
}

/// One compilation under way.
struct Step<'a> {
    config: &'a Config,
    previous: &'a Snapshot,
    certificates: Certificates,
    authorities: Authorities,
    plugins: Plugins,
    services: imbl::OrdMap<Id<Service>, Arc<CompiledService>>,
    /// Routes that may not be what they were.
    touched: BTreeSet<Id<Route>>,
    remarks: Remarks,
    regexes: Regexes,
    /// Whether it has been said that regular expressions are too many.
    is_full: bool,
    problems: Vec<Problem>,
}

impl Step<'_> {
    fn compile_services(&mut self) {
        for id in self.touched_services() {
            let routes = self.config.all::<Route>().pointing_at("service", id.uuid(), None);
            self.touched.extend(routes.map(|route| route.id));
            self.services.remove(&id);
            if let Some(service) = self.config.get(id) {
                self.compile_service(service);
            }
        }
    }

    /// Services that may not be what they were: those that changed, and those that name a
    /// certificate that did.
    fn touched_services(&self) -> BTreeSet<Id<Service>> {
        let (config, before) = (self.config, &self.previous.config);
        let mut touched = changed::<Service>(config, before);
        let services = config.all::<Service>();
        for certificate in changed::<Certificate>(config, before) {
            let users = services.pointing_at("client_certificate", certificate.uuid(), None);
            touched.extend(users.map(|service| service.id));
        }
        let authorities = changed::<CaCertificate>(config, before);
        if !authorities.is_empty() {
            let names = |service: &&Service| {
                let mut named = service.ca_certificates.iter().flatten();
                named.any(|id| authorities.contains(&Id::from(*id)))
            };
            touched.extend(services.iter().filter(names).map(|service| service.id));
        }
        touched
    }

    fn compile_service(&mut self, service: &Service) {
        let found = problems_of(service, self.config);
        self.problems.extend(found);
        let sources = Sources {
            certificates: &self.certificates,
            authorities: &self.authorities,
            trusts: &self.previous.trusts,
            defaults: &self.previous.options.upstream_tls,
        };
        match compile_service(service, &sources) {
            Ok(compiled) if service.enabled => {
                self.services.insert(service.id, Arc::new(compiled));
            }
            Ok(_) => {}
            Err(error) => {
                let message = format!("TLS cannot be spoken with its upstream: {error}");
                self.problems.push(Problem::of(Service::KIND, service.id, UNUSABLE, message));
            }
        }
    }

    /// Plugins, and which routes they make others of.
    fn compile_plugins(&mut self) {
        let changed = changed::<Plugin>(self.config, &self.previous.config);
        self.touched.extend(plugins::touched(&changed, self.config, &self.previous.config));
        self.plugins.patch(&changed, self.config, &mut self.problems);
    }

    fn compile_routes(&mut self) -> (Vec<Change>, Vec<StreamChange>) {
        self.touched.extend(changed::<Route>(self.config, &self.previous.config));
        let touched = mem::take(&mut self.touched);
        // What goes makes room for what comes.
        for id in &touched {
            if let Some(route) = self.previous.routes.by_id(*id) {
                route.pattern.give_back(&self.regexes);
            }
            if let Some(stream) = self.previous.streams.by_id(*id) {
                stream.give_back(&self.regexes);
            }
        }
        let (mut changes, mut stream_changes) = (Vec::new(), Vec::new());
        for id in touched {
            self.remarks.forget(id);
            let route = self.config.get(id);
            // One that has changed sides is gone from the other.
            match route {
                Some(route) if Pattern::is_for_http(route) => {
                    changes.extend(self.compile_route(route));
                    stream_changes.push(StreamChange::Remove(id));
                }
                Some(route) => {
                    changes.push(Change::Remove(id));
                    stream_changes.extend(self.compile_stream(route));
                }
                None => {
                    changes.push(Change::Remove(id));
                    stream_changes.push(StreamChange::Remove(id));
                }
            }
        }
        (changes, stream_changes)
    }

    /// What becomes of a route: none if it is to blame for a problem.
    fn compile_route(&mut self, route: &Route) -> Option<Change> {
        let id = route.id;
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
                Some(service) if !service.protocol.is_http() => {
                    let message = format!(
                        "it is for HTTP, and its service is spoken to over `{}`",
                        service.protocol
                    );
                    let problem = Problem::of(EntityKind::Route, id, NOT_SERVED, message);
                    self.problems.push(problem.at("service"));
                    return None;
                }
                Some(service) => Some(Arc::clone(service)),
                // Its routes are not there while a service is not enabled.
                None => {
                    pattern?.give_back(&self.regexes);
                    return Some(Change::Remove(id));
                }
            },
        };
        let plugins = self.plugins.of_route(route, self.config);
        let compiled = compile_route(route, pattern?, service);
        Some(Change::Put(Arc::new(CompiledRoute { plugins, ..compiled })))
    }

    /// The pattern of a route, unless it cannot be served.
    fn pattern_of(&mut self, route: &Route) -> Option<Arc<Pattern>> {
        match Pattern::of(route, self.previous.options.router, &self.regexes) {
            Ok(pattern) => Some(Arc::new(pattern)),
            Err(unserved) => {
                self.blame(route, &unserved);
                None
            }
        }
    }

    fn blame(&mut self, route: &Route, unserved: &[Unserved]) {
        // The first with which regular expressions are too many stands for all later ones.
        let is_full = &mut self.is_full;
        let is_news =
            |unserved: &&Unserved| !unserved.is_too_many() || !mem::replace(is_full, true);
        self.problems.extend(unserved.iter().filter(is_news).map(|unserved| {
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
        request_buffering: route.request_buffering,
        response_buffering: route.response_buffering,
        https_only: demands_tls.then_some(route.https_redirect_status_code),
        grpc: match (has(Protocol::Grpc), has(Protocol::Grpcs)) {
            (true, _) => Some(GrpcOver::Any),
            (false, true) => Some(GrpcOver::Tls),
            (false, false) => None,
        },
        service,
        plugins: None,
        pattern,
    }
}

/// Of one kind, what is not as it was: new, changed or gone.
fn changed<E: Entity>(config: &Config, before: &Config) -> BTreeSet<Id<E>> {
    let differences = config.all::<E>().since(before.all());
    let id = |difference| {
        let (Difference::Put(stored) | Difference::Deleted(stored)) = difference;
        let entity: &E = &stored.entity;
        entity.id()
    };
    differences.map(id).collect()
}

/// What is wrong with a service, enabled or not.
fn problems_of(service: &Service, config: &Config) -> Vec<Problem> {
    let problem = |code: &str, message| Problem::of(Service::KIND, service.id, code, message);
    let mut problems = Vec::new();
    let client = service.client_certificate.as_ref().map(|reference| reference.id);
    if let Some(id) = client.filter(|id| config.get(*id).is_none()) {
        let message = format!("its client certificate {id} does not exist");
        problems.push(problem(DANGLING, message).at("client_certificate"));
    }
    let certificate = client.and_then(|id| config.get(id));
    if certificate.is_some_and(|it| it.cert.value().is_none() || it.key.value().is_none()) {
        let message = "its client certificate is kept in a vault, which is not followed";
        problems.push(problem(UNUSABLE, message.to_owned()).at("client_certificate"));
    }
    let is_missing = |id: &&Uuid| config.get(Id::<CaCertificate>::from(**id)).is_none();
    for id in service.ca_certificates.iter().flatten().filter(is_missing) {
        let message = format!("its CA certificate {id} does not exist");
        problems.push(problem(DANGLING, message).at("ca_certificates"));
    }
    problems
}

/// Kong's values for what is null.
const TIMEOUT: Duration = Duration::from_millis(60_000);
const RETRIES: u16 = 5;

fn compile_service(
    service: &Service,
    sources: &Sources<'_>,
) -> Result<CompiledService, ErrorStack> {
    let tls = service.protocol.is_tls().then(|| sources.compile(service));
    let timeout = |millis: Option<Millis>| millis.map_or(TIMEOUT, Millis::duration);
    Ok(CompiledService {
        id: service.id,
        name: service.name.clone(),
        protocol: service.protocol,
        host: service.host.clone(),
        address: address_of(&service.host),
        port: service.port,
        authority: authority_of(service),
        path: service.path.clone(),
        connect_timeout: timeout(service.connect_timeout),
        write_timeout: timeout(service.write_timeout),
        read_timeout: timeout(service.read_timeout),
        retries: service.retries.unwrap_or(RETRIES),
        tls: tls.transpose()?,
    })
}

/// A service's host, and its port where that is not the protocol's.
fn authority_of(service: &Service) -> Box<str> {
    let host = service.host.as_str();
    // Two colons are an IPv6 address, which needs brackets to have a port.
    let bare = host.contains(':') && !host.starts_with('[');
    let host = if bare { format!("[{host}]") } else { host.to_owned() };
    let usual = if service.protocol.is_tls() { 443 } else { 80 };
    let port = (service.port != usual).then(|| format!(":{}", service.port));
    (host + &port.unwrap_or_default()).into()
}

/// The address a host is, in brackets or not, if it is not a name.
fn address_of(host: &Host) -> Option<IpAddr> {
    let text = host.as_str();
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse::<IpRange>().ok().map(|range| range.parts().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Limits;
    use model::testing::{revision, route, service};

    #[test]
    fn a_port_is_named_unless_it_is_the_protocols_own() {
        for (protocol, host, port, expected) in [
            ("http", "a.test", 80, "a.test"),
            ("http", "a.test", 443, "a.test:443"),
            ("https", "a.test", 443, "a.test"),
            ("https", "a.test", 80, "a.test:80"),
            ("http", "127.0.0.1", 8080, "127.0.0.1:8080"),
            ("https", "::1", 443, "[::1]"),
            ("http", "::1", 81, "[::1]:81"),
        ] {
            let built = service("s").with("protocol", protocol).with("host", host);
            let service = built.with("port", port).build();
            let (id, mut config) = (service.id, Config::default());
            config.write(service);
            let snapshot = compile(&revision(1, config), &Snapshot::empty()).unwrap();
            let found = &*snapshot.service(id).unwrap().authority;
            assert_eq!(found, expected, "{protocol} {host} {port}");
        }
    }

    /// Takes some 16 KB.
    fn large(number: usize) -> String {
        format!("~/{number}/([a-z]{{30}}|b){{2}}")
    }

    fn with_room(total: usize) -> Snapshot {
        let regexes = Regexes::within(Limits { total, excess: usize::MAX });
        Snapshot { regexes, ..Snapshot::default() }
    }

    fn config(paths: impl IntoIterator<Item = String>) -> Config {
        let mut config = Config::default();
        for (number, path) in (0..).zip(paths) {
            let route = route(&format!("r{number}")).path(&path);
            config.write(route.with("id", Uuid::from_u128(number).to_string()).build());
        }
        config
    }

    #[test]
    fn regular_expressions_are_bounded_together() {
        let one = compile(&revision(1, config([large(0)])), &with_room(1 << 20));
        let one = one.expect("room").regex_weight();
        let room = 10 * one + one / 2;
        let problems = compile(&revision(1, config((0..50).map(large))), &with_room(room));
        let [problem] = problems.expect_err("no room").try_into().expect("one says it all");
        assert_eq!(problem.code, BAD_REGEX);
        assert_eq!(problem.field.as_deref(), Some("paths"));
        assert_eq!(problem.entity, Some(("routes".to_owned(), Uuid::from_u128(10))));
        let expected = format!(
            "the regular expression `/10/([a-z]{{30}}|b){{2}}` in `paths` is too much: with it, the \
             regular expressions of all routes take more than {room} bytes once compiled, and later \
             ones were not looked at; make counted repetitions smaller, write the same expression \
             alike wherever it is meant, or have routes go by prefixes"
        );
        assert_eq!(problem.message, expected);
    }

    #[test]
    fn what_goes_makes_room_for_what_comes() {
        let numbers = |numbers: std::ops::Range<usize>| config(numbers.map(large));
        let full = compile(&revision(1, numbers(0..10)), &with_room(1 << 20)).expect("room");
        let room = full.regex_weight() + full.regex_weight() / 20;
        let full = compile(&revision(1, numbers(0..10)), &with_room(room)).expect("room");
        let other = compile(&revision(2, numbers(10..20)), &full).expect("room again");
        assert!(compile(&revision(3, numbers(10..21)), &other).is_err());
        let same = config(std::iter::repeat_n(large(7), 100));
        let same = compile(&revision(4, same), &other).expect("it is one");
        assert!(same.regex_weight() < room / 9);
        let none = compile(&revision(5, Config::default()), &same).expect("nothing");
        assert_eq!(none.regex_weight(), 0);
    }
}
