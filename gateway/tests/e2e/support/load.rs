//! A steady stream of requests over connections that are kept.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What is asked for, again and again.
#[derive(Clone)]
pub struct Load {
    pub at: SocketAddr,
    pub host: &'static str,
    pub path: String,
    pub connections: u32,
}

/// One request and what came of it.
pub struct Sample {
    /// When it was due.
    pub due: Instant,
    pub took: Duration,
    /// The body of a 200; anything else in words.
    pub outcome: Result<String, String>,
}

impl Load {
    /// Requests per second when each connection asks again at once.
    pub async fn saturation(&self, duration: Duration) -> f64 {
        let samples = self.run(duration, None).await;
        let failed = samples.iter().find_map(|sample| sample.outcome.as_ref().err());
        assert_eq!(failed, None, "a request failed at saturation");
        samples.len() as f64 / duration.as_secs_f64()
    }

    /// `rate` requests per second, evenly, however long they take. One that waits for the one before
    /// it has begun when it was due.
    pub async fn steady(&self, duration: Duration, rate: f64) -> Vec<Sample> {
        let period = Duration::from_secs_f64(f64::from(self.connections) / rate);
        self.run(duration, Some(period)).await
    }

    async fn run(&self, duration: Duration, period: Option<Duration>) -> Vec<Sample> {
        let start = Instant::now();
        let mut connections = JoinSet::new();
        for number in 0..self.connections {
            let load = self.clone();
            // Connections take turns, so that requests are spread evenly.
            let first = start
                + period
                    .unwrap_or_default()
                    .mul_f64(f64::from(number) / f64::from(self.connections));
            connections.spawn(async move { load.ask(first, start + duration, period).await });
        }
        connections.join_all().await.into_iter().flatten().collect()
    }

    async fn ask(&self, first: Instant, end: Instant, period: Option<Duration>) -> Vec<Sample> {
        let (mut samples, mut sender, mut due) = (Vec::new(), None, first);
        while due < end {
            let now = Instant::now();
            let begin = if now < due {
                sleep_until(due).await;
                Instant::now() // timers are coarse, which is not the gateway's fault
            } else {
                due
            };
            let outcome = self.request(&mut sender).await;
            let done = Instant::now();
            samples.push(Sample { due, took: done - begin, outcome });
            due = period.map_or(done, |period| due + period);
        }
        samples
    }

    async fn request(
        &self,
        kept: &mut Option<SendRequest<Empty<Bytes>>>,
    ) -> Result<String, String> {
        let mut sender = match kept.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?, // the server said that it would close the last one
        };
        sender.ready().await.map_err(|error| error.to_string())?;
        let request = Request::get(&self.path).header(header::HOST, self.host);
        let request = request.body(Empty::new()).expect("is a request");
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        *kept = Some(sender);
        if status == 200 { Ok(text) } else { Err(format!("{status}: {text}")) }
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, String> {
        let stream = TcpStream::connect(self.at).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// What this part of all durations, from 0 to 1, does not exceed.
pub fn quantile(part: f64, durations: impl Iterator<Item = Duration>) -> Duration {
    let mut durations: Vec<_> = durations.collect();
    durations.sort_unstable();
    durations[(durations.len() as f64 * part) as usize]
}
