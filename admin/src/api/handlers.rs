//! What answers at a path: for each method a function from a [`Call`] to a reply.
//!
//! To axum all of them are of one type. It makes a good deal of code for each type of handler, and most
//! of the functions are there once for every kind of entity: with types of their own they took the
//! compiler a minute.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequest as _;
use axum::handler::Handler;
use axum::response::IntoResponse as _;
use axum::routing::{self, MethodRouter};
use http::{HeaderMap, Request, Response};

use super::call::Call;
use super::problem::Problem;
use super::{Api, options};

type Reply = Result<Response<Body>, Problem>;
type Replying = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What answers at a path, by method.
pub(super) struct Handlers(MethodRouter<Arc<Api>>);

/// Answers `GET`, and so `HEAD`.
pub(super) fn get<F: Future<Output = Reply> + Send + 'static>(
    handle: impl Fn(Call) -> F + Send + Sync + 'static,
) -> Handlers {
    Handlers(routing::get(Erased::from(handle)))
}

/// Answers `POST`.
pub(super) fn post<F: Future<Output = Reply> + Send + 'static>(
    handle: impl Fn(Call) -> F + Send + Sync + 'static,
) -> Handlers {
    Handlers(routing::post(Erased::from(handle)))
}

/// Answers `PUT`.
pub(super) fn put<F: Future<Output = Reply> + Send + 'static>(
    handle: impl Fn(Call) -> F + Send + Sync + 'static,
) -> Handlers {
    Handlers(routing::put(Erased::from(handle)))
}

/// Answers `DELETE`.
pub(super) fn delete<F: Future<Output = Reply> + Send + 'static>(
    handle: impl Fn(Call) -> F + Send + Sync + 'static,
) -> Handlers {
    Handlers(routing::delete(Erased::from(handle)))
}

impl Handlers {
    /// Answers `POST`, too.
    pub(super) fn post<F: Future<Output = Reply> + Send + 'static>(
        self,
        handle: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(self.0.post(Erased::from(handle)))
    }

    /// Answers `PUT`, too.
    pub(super) fn put<F: Future<Output = Reply> + Send + 'static>(
        self,
        handle: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(self.0.put(Erased::from(handle)))
    }

    /// Answers `PATCH`, too.
    pub(super) fn patch<F: Future<Output = Reply> + Send + 'static>(
        self,
        handle: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(self.0.patch(Erased::from(handle)))
    }

    /// Answers `DELETE`, too.
    pub(super) fn delete<F: Future<Output = Reply> + Send + 'static>(
        self,
        handle: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(self.0.delete(Erased::from(handle)))
    }

    /// Answers what this answers, too, which reads requests in a way of its own.
    pub(super) fn and(self, other: MethodRouter<Arc<Api>>) -> Self {
        Self(self.0.merge(other))
    }

    /// All of it, with what is told of other methods: `allow` names those that there are, in order.
    pub(super) fn allowing(self, allow: &'static str) -> MethodRouter<Arc<Api>> {
        self.0
            .options(async move |headers: HeaderMap| options(allow, &headers))
            .fallback(async move || Problem::NotAllowed(allow))
    }
}

/// A handler whose type says nothing about what it does.
#[derive(Clone)]
struct Erased(Arc<dyn Fn(Call) -> Replying + Send + Sync>);

impl Erased {
    fn from<F: Future<Output = Reply> + Send + 'static>(
        handle: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |call| Box::pin(handle(call))))
    }

    async fn answer(self, request: Request<Body>, api: Arc<Api>) -> Reply {
        (self.0)(Call::from_request(request, &api).await?).await
    }
}

impl Handler<(), Arc<Api>> for Erased {
    type Future = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

    fn call(self, request: Request<Body>, api: Arc<Api>) -> Self::Future {
        Box::pin(async move { self.answer(request, api).await.into_response() })
    }
}
