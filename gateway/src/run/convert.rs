//! Our options, as each crate wants its own. No decision is taken here; a document is read.

use std::net::TcpListener;
use std::time::Duration;

use cluster::ed25519::PublicKey;
use cluster::{Identity, client, server};
use engine::options::LogSink;
use model::delta::Touched;

use super::initial::{self, Initial};
use crate::options::{
    Admin, ClusterClient, ClusterServer, Database, Endpoint, Forwarding, Header, Keepalive,
    Options, Proxy, Role, UpstreamHeader, Workers,
};
use crate::telemetry::Telemetry;

/// The control plane's half.
pub(super) fn admin(
    options: &Options,
    admin: &Admin,
    listeners: Vec<TcpListener>,
    telemetry: &Telemetry,
) -> anyhow::Result<admin::Options> {
    let storage = match &admin.database {
        Database::Sqlite(file) => admin::Storage::Sqlite(file.clone()),
        Database::Off(document) => {
            let document = document.as_ref().map(initial::text).transpose()?;
            admin::Storage::Nowhere { document }
        }
    };
    let access = telemetry.admin_access().clone();
    let log = move |request: &admin::Access<'_>| access.line(access_line(request));
    Ok(admin::Options {
        listeners,
        hostname: hostname(),
        configuration: options.effective.clone().into(),
        control_plane: matches!(options.role, Role::ControlPlane { .. }),
        revision_log_keep: admin.revisions_kept,
        audit_keep: admin.audit_kept,
        max_body: admin.max_body,
        server_tokens: admin.headers.contains(&Header::Server),
        latency_tokens: admin.headers.contains(&Header::AdminLatency),
        access_log: telemetry.admin_access().is_open().then(|| Box::new(log) as _),
        ..admin::Options::new(storage, engine::judge())
    })
}

/// The line nginx calls `combined`.
fn access_line(request: &admin::Access<'_>) -> String {
    let admin::Access { peer, method, target, version, status, bytes, user_agent, .. } = request;
    let time = chrono::Local::now().format("%d/%b/%Y:%H:%M:%S %z");
    let status = status.as_u16();
    let agent = user_agent.unwrap_or("-");
    format!(
        "{peer} - - [{time}] \"{method} {target} {version:?}\" {status} {bytes} \"-\" \"{agent}\""
    )
}

/// The data plane's half.
pub(super) fn engine(proxy: &Proxy, telemetry: &Telemetry) -> engine::Options {
    let Workers { count, cores } = proxy.workers.clone();
    let Keepalive { pool_size, idle_timeout } = proxy.keepalive;
    engine::Options {
        listen: proxy.listen.iter().map(listen).collect(),
        workers: engine::options::Workers { count, cores },
        headers: headers(proxy),
        forwarding: forwarding(&proxy.forwarding),
        keepalive: engine::options::Keepalive { pool_size, idle_timeout },
        max_body: proxy.max_body,
        public_ports: proxy.public_ports.clone(),
        access_log: telemetry.access().is_open().then(|| {
            let access = telemetry.access().clone();
            LogSink::new(move |line| access.line(line))
        }),
        ..engine::Options::default()
    }
}

/// The control plane's end of the link.
pub(super) fn cluster_server(
    cluster: &ClusterServer,
    listeners: Vec<TcpListener>,
    trust: [u8; 32],
    steps: Vec<Touched>,
    purge_delay: Duration,
) -> server::Options {
    server::Options {
        listeners,
        credentials: cluster.credentials.clone(),
        hub: server::HubOptions {
            trust: PublicKey::from_bytes(trust),
            version: model::VERSION.to_owned(),
            purge_delay,
            most_data_planes: server::MOST_DATA_PLANES,
            steps,
        },
    }
}

/// The data plane's end of the link.
pub(super) fn cluster_client(
    cluster: &ClusterClient,
    identity: Identity,
    initial: Initial,
) -> client::Options {
    client::Options {
        control_planes: cluster.control_planes.iter().map(Endpoint::to_string).collect(),
        credentials: cluster.credentials.clone(),
        node: client::NodeOptions {
            identity,
            trust: initial.trust,
            hostname: hostname(),
            version: model::VERSION.to_owned(),
            labels: cluster.labels.clone(),
            initial: initial.revision,
            keep: initial.keep,
        },
    }
}

fn listen(listen: &crate::options::Listen) -> engine::options::Listen {
    let plain = engine::options::Listen::plain(listen.addr);
    engine::options::Listen { backlog: listen.backlog.unwrap_or(plain.backlog), ..plain }
}

fn headers(proxy: &Proxy) -> engine::options::Headers {
    let has = |header| proxy.headers.contains(&header);
    engine::options::Headers {
        server: has(Header::Server),
        via: has(Header::Via),
        proxy_latency: has(Header::ProxyLatency),
        upstream_latency: has(Header::UpstreamLatency),
        response_latency: has(Header::ResponseLatency),
        upstream_status: has(Header::UpstreamStatus),
        request_id: has(Header::RequestId),
        upstream_request_id: proxy.headers_upstream.contains(&UpstreamHeader::RequestId),
    }
}

fn forwarding(forwarding: &Forwarding) -> engine::options::Forwarding {
    engine::options::Forwarding {
        trusted: forwarding.trusted.clone(),
        real_ip_header: forwarding.real_ip_header.clone(),
        recursive: forwarding.recursive,
    }
}

/// What this machine calls itself.
pub(super) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
