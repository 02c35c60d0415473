//! The whole configuration as one document: `/config`, where there is no
//! database. A document takes the place of everything, or changes nothing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body as ResponseBody;
use axum::extract::FromRequest;
use boring::sha::sha256;
use http::{Request, Response, StatusCode};
use model::declarative::{self, DeclarativeError};
use model::encode::ContentHash;
use model::entities::Visit;
use model::schema::to_object;
use model::violation::Violations;
use model::vitals::{self, Verdict};
use model::{Config, Entity, EntityKind, Revision, Terms};
use serde_json::{Map, Value, json as value};
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Api;
use super::body::{Body, Reads};
use super::call::Call;
use super::json;
use super::problem::Problem;
use crate::commit::{Committer, Failure};
use crate::store::Author;
use crate::write::Refusal;

/// How long the workers may take to serve what was loaded.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of the documents loaded so far.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// Held while one is being loaded.
    last: Mutex<Option<Loaded>>,
    verdicts: OnceLock<watch::Receiver<Verdict>>,
}

/// A text, and the configuration it became. Who loads one and leaves before it is answered does not
/// note it here: it is then the configuration that differs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Loaded {
    text: Digest,
    hash: ContentHash,
}

/// A document to begin with.
#[derive(Clone, Debug)]
pub struct Beginning {
    config: Arc<Config>,
    loaded: Loaded,
}

impl Beginning {
    /// A text, and the configuration that it is, which the engine would serve.
    pub fn new(text: &str, config: Config) -> Self {
        let loaded = Loaded { text: digest(text), hash: config.hash() };
        Self { config: Arc::new(config), loaded }
    }

    /// What it says.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Why a node goes on with the configuration it has.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The engine would not serve it.
    #[error("it cannot be served: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unservable(Vec<vitals::Problem>),
    /// The node is about to end.
    #[error("the node takes no more changes")]
    Ending,
}

impl PartialEq for Beginning {
    fn eq(&self, other: &Self) -> bool {
        self.loaded == other.loaded
    }
}

/// The SHA-256 of a text.
type Digest = [u8; 32];

impl Documents {
    /// Those of a node that began with this one.
    pub(crate) fn beginning_with(document: Option<&Beginning>) -> Self {
        let loaded = document.map(|document| document.loaded);
        Self { last: Mutex::new(loaded), verdicts: OnceLock::new() }
    }

    /// Puts this one in the place of everything, unless it is what there is. Says whether it did.
    pub(crate) async fn begin_again(
        &self,
        committer: &Committer,
        revisions: &watch::Receiver<Arc<Revision>>,
        document: &Beginning,
    ) -> Result<bool, BeginError> {
        let mut last = self.last.lock().await;
        let current = Loaded { hash: revisions.borrow().id.hash, ..document.loaded };
        if *last == Some(current) {
            return Ok(false);
        }
        let author = Author { who: "gateway".into(), what: "reload".into() };
        let config = Config::clone(&document.config);
        let taken = committer.write(author, move |current, _| {
            *current = config;
            Ok(())
        });
        taken.await.map_err(|failure| match failure {
            Failure::Refused(Refusal::Unservable(problems)) => BeginError::Unservable(problems),
            Failure::Refused(_) | Failure::NotKept | Failure::Unavailable => BeginError::Ending,
        })?;
        *last = Some(document.loaded);
        Ok(true)
    }

    pub(super) fn follow(&self, verdicts: watch::Receiver<Verdict>) {
        let _ = self.verdicts.set(verdicts); // there is one engine
    }

    /// Returns when every worker serves the configuration with this hash, if there are workers.
    async fn served(&self, hash: ContentHash) -> Result<(), Problem> {
        let Some(mut verdicts) = self.verdicts.get().cloned() else { return Ok(()) };
        let is_served = |verdict: &Verdict| verdict.effective.is_some_and(|id| id.hash == hash);
        match timeout(PATIENCE, verdicts.wait_for(is_served)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Problem::NotServed),
        }
    }
}

/// `GET /config`
pub(super) async fn show(call: Call) -> Result<Response<ResponseBody>, Problem> {
    call.api().documents.as_ref().ok_or(Problem::HasADatabase)?;
    let yaml = declarative::export(&call.revision().config, call.terms());
    Ok(json(StatusCode::OK, &value!({ "config": yaml })))
}

/// `POST /config`
pub(super) async fn load(upload: Upload) -> Result<Response<ResponseBody>, Problem> {
    let Upload { call, submitted } = upload;
    let documents = call.api().documents.as_ref().ok_or(Problem::HasADatabase)?;
    let mut last = documents.last.try_lock().map_err(|_| Problem::Loading)?;

    let text = submitted.digest();
    let current = text.map(|text| Loaded { text, hash: call.revision().id.hash });
    if call.query.get("check_hash") == Some("1") && current.is_some() && *last == current {
        return Ok(not_modified());
    }
    let flatten = matches!(call.query.get("flatten_errors"), Some("1" | "true" | "on" | "yes"));
    let config = take(&call, submitted, flatten).await?;
    let hash = config.hash();
    *last = text.map(|text| Loaded { text, hash });
    documents.served(hash).await?;
    Ok(json(StatusCode::CREATED, &by_id(&config, call.terms())))
}

/// Reads what was submitted and has it committed.
async fn take(call: &Call, submitted: Submitted, flatten: bool) -> Result<Config, Problem> {
    let document = match submitted {
        Submitted::Document(document) => Ok(document),
        // Ten megabytes of YAML take a while, and nobody else should.
        Submitted::Text(text) => {
            let room = call.room();
            let reading = spawn_blocking(move || {
                let _room = room; // its sender may leave meanwhile
                declarative::read(&text)
            });
            reading
                .await
                .unwrap_or_else(|_| Err(DeclarativeError::Syntax("the parser gave up".to_owned())))
        }
    };
    let document = document.map_err(|error| {
        let flattened = flatten.then(Vec::new);
        Problem::Document { violations: error.into_violations(), flattened }
    })?;
    let original = flatten.then(|| document.clone());
    call.load(document).await.map_err(|failure| match (failure, original) {
        (Failure::Refused(Refusal::Document(violations)), Some(original)) => {
            by_entity(&original, &violations)
        }
        (failure, _) => failure.into(),
    })
}

fn by_entity(document: &Value, violations: &Violations) -> Problem {
    let flattened = declarative::flatten(document, violations);
    Problem::Document { violations: flattened.rest, flattened: Some(flattened.entities) }
}

/// A request that may bring a document.
pub(super) struct Upload {
    call: Call,
    submitted: Submitted,
}

/// A document, as it was sent.
enum Submitted {
    /// JSON, as the body itself.
    Document(Value),
    /// YAML or JSON, within the body or as such.
    Text(String),
}

impl FromRequest<Arc<Api>> for Upload {
    type Rejection = Problem;

    async fn from_request(
        request: Request<axum::body::Body>,
        api: &Arc<Api>,
    ) -> Result<Self, Problem> {
        if api.has_database() {
            return Err(Problem::HasADatabase);
        }
        let mut call = Call::read(request, api, Reads::Document).await?;
        let submitted = Submitted::within(call.take_body());
        let submitted =
            submitted.ok_or(Problem::Malformed("expected a declarative configuration"))?;
        Ok(Self { call, submitted })
    }
}

impl Submitted {
    fn within(body: Body) -> Option<Self> {
        match body {
            Body::None => None,
            Body::Text(text) => Some(Self::Text(text)),
            Body::Json(object) if object.contains_key("_format_version") => {
                Some(Self::Document(Value::Object(object)))
            }
            Body::Json(mut object) => match object.remove("config")? {
                Value::String(text) => Some(Self::Text(text)),
                _ => None,
            },
            Body::Form(pairs) => {
                let mut pairs = pairs.into_iter().rev();
                pairs.find(|(name, _)| name == "config").map(|(_, text)| Self::Text(text))
            }
        }
    }

    /// Of a text only: an object has no bytes that could be compared.
    fn digest(&self) -> Option<Digest> {
        match self {
            Self::Document(_) => None,
            Self::Text(text) => Some(digest(text)),
        }
    }
}

fn digest(text: &str) -> Digest {
    sha256(text.as_bytes())
}

/// Every entity there is, under its kind and its id.
fn by_id(config: &Config, terms: Terms) -> Value {
    struct Entities<'a>(&'a Config, Terms);
    impl Visit for Entities<'_> {
        type Output = Map<String, Value>;
        fn visit<E: Entity>(self) -> Self::Output {
            let shown = |entity: &E| (entity.id().to_string(), to_object(entity, self.1).into());
            self.0.all::<E>().iter().map(shown).collect()
        }
    }
    let kinds = EntityKind::ALL.iter().map(|kind| (*kind, kind.visit(Entities(config, terms))));
    let present = kinds.filter(|(_, entities)| !entities.is_empty());
    Value::Object(present.map(|(kind, of)| (kind.name().to_owned(), of.into())).collect())
}

fn not_modified() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}
