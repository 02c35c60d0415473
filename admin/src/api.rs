//! Every URL of the Admin API.
//!
//! What entities have in common is written once, for any [`Entity`]: the tables
//! of URLs below visit the list of entities and their foreign keys.

mod call; // a request, as handlers see it
mod handlers; // what answers at a path, by method
mod query; // paging and tags
mod body; // JSON or form → one object
mod crud; // list, get, create, replace, merge, delete
mod nested; // the same below a parent
mod documents; // the whole configuration at once
mod extra; // what is not CRUD
mod log_level; // how much the node says
mod openapi; // all of it, as machines read it
mod problem; // what goes wrong → status and body

use std::future::ready;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::{self, any};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_REQUEST_HEADERS,
    ALLOW, CONTENT_TYPE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use model::entities::Visit;
use model::entities::{CaCertificate, Certificate, Consumer, Target};
use model::entity::foreign_keys;
use model::judge::Judge;
use model::vitals::{NoVitals, Verdict, Vitals};
use model::{Entity, EntityKind, Revision, Terms};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::clock::Clock;
use crate::commit::Committer;
use crate::guard::Guard;
use crate::serve::Traffic;
use crate::store::{Keep, Past, Reader};
use body::Rooms;
use extra::{
    absent, audit, authorities, certificates, consumers, debug, info, nodes, schemas, tags, targets,
};
use handlers::{Handlers, delete, get, post, put};
use nested::Bond;
use problem::Problem;

pub(crate) use documents::Documents;
pub use documents::{BeginError, Beginning};
pub use log_level::{LevelChange, LogLevel};
pub(crate) use problem::misdirected;

/// What handlers share.
pub(crate) struct Api {
    about: About,
    max_body: Option<u64>,
    rooms: Rooms,
    revisions: watch::Receiver<Arc<Revision>>,
    committer: Committer,
    database: Option<Arc<Reader>>,
    past: Option<Past>,
    judge: Arc<dyn Judge>,
    clock: Clock,
    /// Whose turn it is to be explained a route.
    asking: Arc<Semaphore>,
    /// There where there is no database.
    documents: Option<Documents>,
    guard: Arc<Guard>,
    vitals: RwLock<Arc<dyn Vitals>>,
    traffic: Arc<Traffic>,
    /// Every path, its parameters in braces.
    endpoints: OnceLock<Vec<String>>,
    /// The same, with their methods.
    places: OnceLock<Vec<openapi::Place>>,
    /// What `/openapi.json` says of them.
    description: OnceLock<Value>,
}

/// What this control plane says of itself.
pub(crate) struct About {
    pub(crate) hostname: String,
    pub(crate) node_id: Uuid,
    pub(crate) configuration: Value,
    pub(crate) control_plane: bool,
    /// What entities are taken by.
    pub(crate) terms: Terms,
    /// How much of the past is kept.
    pub(crate) keep: Keep,
    /// The level of the node's log, where it can be changed.
    pub(crate) log_level: Option<Arc<dyn LogLevel>>,
}

/// By which the configuration is read and written, as it is and as it was.
pub(crate) struct History {
    pub(crate) revisions: watch::Receiver<Arc<Revision>>,
    pub(crate) committer: Committer,
    /// What is asked whether the database answers, where there is one.
    pub(crate) database: Option<Arc<Reader>>,
    /// There where there is a database.
    pub(crate) past: Option<Past>,
}

impl Api {
    pub(crate) fn new(
        about: About,
        max_body: Option<u64>,
        history: History,
        judge: Arc<dyn Judge>,
        clock: Clock,
        documents: Option<Documents>,
        guard: Arc<Guard>,
    ) -> Self {
        let History { revisions, committer, database, past } = history;
        Self {
            about,
            max_body,
            rooms: Rooms::default(),
            revisions,
            committer,
            database,
            past,
            judge,
            clock,
            asking: Arc::new(Semaphore::new(1)),
            documents,
            guard,
            vitals: RwLock::new(Arc::new(NoVitals)),
            traffic: Arc::default(),
            endpoints: OnceLock::new(),
            places: OnceLock::new(),
            description: OnceLock::new(),
        }
    }

    pub(crate) fn observe(&self, vitals: Arc<dyn Vitals>) {
        *self.vitals.write().unwrap_or_else(PoisonError::into_inner) = vitals;
    }

    pub(crate) fn has_database(&self) -> bool {
        self.documents.is_none()
    }

    /// Begins again with this document, where there is no database. Says whether that changed
    /// anything.
    pub(crate) async fn begin_again(&self, document: &Beginning) -> Result<bool, BeginError> {
        match &self.documents {
            Some(documents) => {
                documents.begin_again(&self.committer, &self.revisions, document).await
            }
            None => Ok(false),
        }
    }

    /// Has loads wait for the workers whose verdicts these are.
    pub(crate) fn follow(&self, verdicts: watch::Receiver<Verdict>) {
        if let Some(documents) = &self.documents {
            documents.follow(verdicts);
        }
    }

    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    fn vitals(&self) -> Arc<dyn Vitals> {
        Arc::clone(&self.vitals.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What all reading is served from: the newest revision, without what is gone since it was made.
    fn revision(&self) -> Arc<Revision> {
        let revision = Arc::clone(&self.revisions.borrow());
        let Some(at) = revision.config.next_expiry() else { return revision };
        let now = self.clock.now();
        if at > now {
            return revision;
        }
        let mut left = Revision::clone(&revision);
        left.config.expire(now);
        Arc::new(left)
    }
}

/// The table of URLs.
pub(crate) fn router(api: &Arc<Api>) -> Router {
    let mut map = Map::default();
    map.at("/", READ, get(info::root));
    map.at("/status", READ, get(info::status));
    map.at("/config", COLLECTION, get(documents::show).and(routing::post(documents::load)));
    map.at("/debug/route", SUBMIT, post(debug::route));
    if let Some(log) = &api.about.log_level {
        map.log_level(log, api.about.control_plane);
    }
    map.at("/audit", READ, get(audit::sizes));
    map.at("/audit/revisions", READ, get(audit::list));
    map.at("/audit/revisions/{revision}", READ, get(audit::show));
    map.at("/audit/revisions/{revision}/restore", SUBMIT, post(audit::restore));
    map.at("/endpoints", READ, get(info::endpoints));
    map.at("/openapi.json", READ, get(openapi::show));
    map.at("/clustering/data-planes", READ, get(nodes::data_planes));
    map.at("/clustering/status", READ, get(nodes::status));
    map.at("/timers", READ, get(absent::timers));
    map.at("/status/dns", READ, get(absent::dns));
    map.at("/cache", "DELETE, OPTIONS", delete(absent::forget));
    let cached = get(absent::cached).delete(absent::forget);
    map.at("/cache/{key}", "DELETE, GET, HEAD, OPTIONS", cached);
    for path in WASM {
        map.router = std::mem::take(&mut map.router).route(path, any(|| async { Problem::NoWasm }));
    }
    map.at("/tags", COLLECTION, get(tags::list).post(tags::refuse));
    map.at("/tags/{tags}", READ, get(tags::one));
    map.at("/schemas/{name}", READ, get(schemas::describe));
    map.at("/schemas/{name}/validate", SUBMIT, post(schemas::validate));
    map.at("/schemas/plugins/{name}", READ, get(schemas::of_plugin));
    map.at("/schemas/plugins/validate", SUBMIT, post(schemas::validate_plugin));
    map.at("/schemas/vaults/{name}", READ, get(schemas::of_vault));
    map.at("/schemas/vaults/validate", SUBMIT, post(schemas::validate_vault));
    map.at("/plugins/enabled", READ, get(info::enabled));
    map.at("/plugins/schema/{name}", READ, get(schemas::of_config));
    for kind in EntityKind::ALL {
        match kind {
            EntityKind::Certificate => map.entity::<Certificate>(
                get(certificates::list).post(certificates::create),
                get(certificates::get)
                    .put(certificates::replace)
                    .patch(certificates::merge)
                    .delete(certificates::delete),
            ),
            EntityKind::CaCertificate => {
                let (all, one) = crud::<CaCertificate>();
                map.entity::<CaCertificate>(all, one.delete(authorities::delete));
            }
            EntityKind::Consumer => {
                let (_, one) = crud::<Consumer>();
                let all = get(consumers::list).post(crud::create::<Consumer>);
                map.entity::<Consumer>(all, one.delete(crud::delete::<Consumer>));
            }
            kind => kind.visit(Entities(&mut map)),
        }
        kind.visit(Families(&mut map));
    }
    let _ = api.places.set(map.places); // once per Api
    let mut endpoints = map.endpoints;
    endpoints.sort();
    let _ = api.endpoints.set(endpoints); // once per Api
    let router = map.router.fallback(|| async { Problem::NotFound });
    router
        .layer(middleware::from_fn_with_state(Arc::clone(api), guarded))
        .with_state(Arc::clone(api))
}

/// Lets nobody further who may not be there.
async fn guarded(
    State(api): State<Arc<Api>>,
    mut request: Request<Body>,
    next: Next,
) -> Response<Body> {
    match api.guard.admit(&request) {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(denied) => Problem::Denied(denied).into_response(),
    }
}

/// Where Kong has filters where it has WebAssembly. Clients take another answer than its own for a mistake.
const WASM: [&str; 8] = [
    "/filter-chains",
    "/filter-chains/{*rest}",
    "/services/{services}/filter-chains",
    "/services/{services}/filter-chains/{*rest}",
    "/routes/{routes}/filter-chains",
    "/routes/{routes}/filter-chains/{*rest}",
    "/routes/{routes}/filters/{*rest}",
    "/schemas/filters/{*rest}",
];

const READ: &str = "GET, HEAD, OPTIONS";
const CHANGE: &str = "OPTIONS, PUT";
const SUBMIT: &str = "OPTIONS, POST";
const COLLECTION: &str = "GET, HEAD, OPTIONS, POST";
const ITEM: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, PUT";

/// What is done to entities of one kind, and to one of them; but for deleting it.
fn crud<E: Entity>() -> (Handlers, Handlers) {
    let one = get(crud::get::<E>).put(crud::replace::<E>).patch(crud::merge::<E>);
    (get(crud::list::<E>).post(crud::create::<E>), one)
}

/// Adds the URLs of one kind of entity.
struct Entities<'a>(&'a mut Map);

impl Visit for Entities<'_> {
    type Output = ();

    fn visit<E: Entity>(self) {
        if E::IS_TOP_LEVEL {
            let (all, one) = crud::<E>();
            self.0.entity::<E>(all, one.delete(crud::delete::<E>));
        }
    }
}

/// Adds the URLs that the foreign keys of one kind make: of its entities below their parents.
struct Families<'a>(&'a mut Map);

impl Visit for Families<'_> {
    type Output = ();

    fn visit<E: Entity>(self) {
        for key in foreign_keys(E::SCHEMA.fields) {
            let bond = Bond { parent: key.target, child: E::KIND, field: key.field };
            if E::KIND == EntityKind::Target {
                self.0.targets(bond);
                continue;
            }
            let below = below(bond);
            self.0.at(
                &below,
                COLLECTION,
                get(move |call| nested::list::<E>(call, bond))
                    .post(move |call| nested::create::<E>(call, bond)),
            );
            self.0.at(
                &format!("{below}/{{{}}}", E::KIND.name()),
                ITEM,
                get(move |call| nested::get::<E>(call, bond))
                    .put(move |call| nested::replace::<E>(call, bond))
                    .patch(move |call| nested::merge::<E>(call, bond))
                    .delete(move |call| nested::delete::<E>(call, bond)),
            );
            // Kong shows no certificate below its name.
            if E::KIND != EntityKind::Sni {
                key.target.visit(Parent { map: &mut *self.0, bond });
            }
        }
    }
}

/// Where the children of a parent are.
fn below(Bond { parent, child, .. }: Bond) -> String {
    format!("/{}/{{{}}}/{}", parent.path(), parent.name(), child.nested())
}

/// Adds the URL of a parent below its child.
struct Parent<'a> {
    map: &'a mut Map,
    bond: Bond,
}

impl Visit for Parent<'_> {
    type Output = ();

    fn visit<P: Entity>(self) {
        let Self { map, bond } = self;
        let child = bond.child;
        map.at(
            &format!("/{}/{{{}}}/{}", child.path(), child.name(), bond.field),
            ITEM,
            get(move |call| nested::get_parent::<P>(call, bond))
                .put(move |call| nested::replace_parent::<P>(call, bond))
                .patch(move |call| nested::merge_parent::<P>(call, bond))
                .delete(move |call| nested::delete_parent(call, bond)),
        );
    }
}

/// Paths and what answers there.
#[derive(Default)]
struct Map {
    router: Router<Arc<Api>>,
    endpoints: Vec<String>,
    places: Vec<openapi::Place>,
}

impl Map {
    /// Adds the two URLs of an entity: of all of them, and of one.
    fn entity<E: Entity>(&mut self, all: Handlers, one: Handlers) {
        let (path, name) = (E::PATH, E::KIND.name());
        self.at(&format!("/{path}"), COLLECTION, all);
        self.at(&format!("/{path}/{{{name}}}"), ITEM, one);
    }

    /// Adds the URLs of the node's log; those of Kong that mean every node mean this one.
    fn log_level(&mut self, log: &Arc<dyn LogLevel>, control_plane: bool) {
        let everywhere = match control_plane {
            true => "/debug/cluster/control-planes-nodes/log-level/{level}",
            false => "/debug/cluster/log-level/{level}",
        };
        let shown = Arc::clone(log);
        let show = move |_| ready(log_level::show(&*shown));
        self.at("/debug/node/log-level", READ, get(show));
        for path in ["/debug/node/log-level/{level}", everywhere] {
            let log = Arc::clone(log);
            self.at(path, CHANGE, put(move |call| ready(log_level::change(&call, &*log))));
        }
    }

    /// Adds the URLs of targets, which are like no others.
    fn targets(&mut self, bond: Bond) {
        let all = below(bond);
        self.at(
            &all,
            COLLECTION,
            get(targets::list).post(move |call| nested::create::<Target>(call, bond)),
        );
        let every = get(move |call| nested::list::<Target>(call, bond));
        self.at(&format!("{all}/all"), READ, every);
        self.at(
            &format!("{all}/{{targets}}"),
            ITEM,
            get(move |call| nested::get::<Target>(call, bond))
                // Kong's PUT does not create here.
                .put(move |call| nested::merge::<Target>(call, bond))
                .patch(move |call| nested::merge::<Target>(call, bond))
                .delete(move |call| nested::delete::<Target>(call, bond)),
        );
    }

    /// Adds a path. `allow` names the methods of `handlers`, in order.
    fn at(&mut self, path: &str, allow: &'static str, handlers: Handlers) {
        let router = std::mem::take(&mut self.router);
        self.router = router.route(path, handlers.allowing(allow));
        self.endpoints.push(path.to_owned());
        self.places.push((path.to_owned(), allow));
    }
}

/// What may be done at a path, for people and for browsers.
fn options(allow: &'static str, asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allow));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allow));
    let wanted = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let wanted = wanted.unwrap_or(HeaderValue::from_static("Content-Type"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    response
}

/// A response with a JSON body.
fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(body).expect("what is shown is plain values, written to memory");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
