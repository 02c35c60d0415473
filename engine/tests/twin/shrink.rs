//! Makes a stream that fails smaller, for as long as it still fails.

use super::said::{Body, Ending, Expects, Request, Stream};
use super::twins::Twins;

/// How often a smaller one is tried.
const TRIES: usize = 200;

/// The smallest stream found, and what is different about it.
pub(crate) async fn shrink(
    twins: &Twins,
    slot: usize,
    mut stream: Stream,
    mut difference: String,
) -> (Stream, String) {
    let mut tries = 0;
    'smaller: loop {
        for candidate in smaller(&stream) {
            tries += 1;
            if tries > TRIES {
                return (stream, difference);
            }
            if let Some(other) = twins.difference(slot, &candidate).await {
                (stream, difference) = (candidate, other);
                continue 'smaller;
            }
        }
        return (stream, difference);
    }
}

/// Streams that are a little less than this one, the much smaller ones first.
fn smaller(stream: &Stream) -> Vec<Stream> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Stream)| {
        let mut one = stream.clone();
        change(&mut one);
        all.push(one);
    };
    for at in 0..stream.requests.len() {
        if stream.requests.len() > 1 {
            with(&|stream| drop(stream.requests.remove(at)));
        }
    }
    if stream.ending != Ending::Whole {
        with(&|stream| stream.ending = Ending::Whole);
    }
    if stream.most != usize::MAX {
        with(&|stream| stream.most = usize::MAX);
    }
    for (at, request) in stream.requests.iter().enumerate() {
        for other in simpler(request) {
            with(&|stream| stream.requests[at] = other.clone());
        }
    }
    all
}

fn simpler(request: &Request) -> Vec<Request> {
    let mut all = Vec::new();
    let mut with = |is_so: bool, change: &dyn Fn(&mut Request)| {
        let mut one = request.clone();
        change(&mut one);
        all.extend((!is_so).then_some(one));
    };
    with(!request.follows, &|request| request.follows = false);
    for at in 0..request.lines.len() {
        if !request.lines[at].starts_with(b"Host: ") {
            with(false, &|request| {
                request.lines.remove(at);
            });
        }
    }
    for body in simpler_bodies(&request.body) {
        with(false, &|request| request.body = body.clone());
    }
    with(request.target.is_empty(), &|request| request.target = "");
    with(request.route == "/b", &|request| request.route = "/b");
    with(request.expects == Expects::Nothing, &|request| request.expects = Expects::Nothing);
    with(request.version == "HTTP/1.1", &|request| request.version = "HTTP/1.1");
    with(request.method == "GET", &|request| request.method = "GET");
    for act in request.act.simpler() {
        with(false, &|request| request.act = act.clone());
    }
    all
}

fn simpler_bodies(body: &Body) -> Vec<Body> {
    match body {
        Body::None => Vec::new(),
        Body::Odd(..) | Body::Length(0) => vec![Body::None],
        // What both sides say is one: it is as small as it can be.
        Body::Other { .. } => Vec::new(),
        Body::Length(length) => vec![Body::None, Body::Length(length / 2)],
        Body::Chunked { sizes, extension, trailers } => {
            let of = |sizes| Body::Chunked { sizes, extension, trailers };
            let fewer = (0..sizes.len()).map(|at| {
                let mut fewer = sizes.clone();
                fewer.remove(at);
                of(fewer)
            });
            let halves = of(sizes.iter().map(|size| size.div_ceil(2)).collect());
            let plain = Body::Chunked { sizes: sizes.clone(), extension: "", trailers: "" };
            let all = std::iter::once(Body::None).chain(fewer).chain([halves, plain]);
            all.filter(|other| other != body).collect()
        }
    }
}
