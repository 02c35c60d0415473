//! Our options, as each crate wants its own. No decision is taken here.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use cluster::ed25519::PublicKey;
use cluster::protocol::settings::Settings;
use cluster::{Identity, client, server};
use engine::RouterOptions;
use engine::options::{LogSink, StreamBackend, StreamListen};
use model::delta::Touched;
use model::explain::Order;
use uuid::Uuid;

use super::initial::Initial;
use crate::options::{
    Admin, Ciphers, ClusterClient, ClusterServer, Database, Door, Endpoint, Forwarding, Header,
    Keepalive, Options, Probes, Proxy, RealIp, Role, Streams, Tls, UpstreamHeader, UpstreamTls,
    Version, Workers,
};
use crate::telemetry::Telemetry;
use crate::telemetry::sink::Sink;

/// The control plane's half.
pub(super) fn admin(
    options: &Options,
    admin: &Admin,
    sockets: Vec<TcpListener>,
    node_id: Option<Uuid>,
    telemetry: &Telemetry,
) -> admin::Options {
    let storage = match &admin.database {
        Database::Sqlite(file) => admin::Storage::Sqlite(file.clone()),
        Database::Postgres(server) => admin::Storage::Postgres(server.clone()),
        Database::Off(document) => admin::Storage::Nowhere(document.clone()),
    };
    let access = telemetry.admin_access().clone();
    let log = move |request: &admin::Access<'_>| access.line(access_line(request));
    admin::Options {
        listeners: listeners(sockets, &admin.listen),
        tls: admin.tls.clone(),
        rules: admin.rules.clone(),
        origins: admin.origins.clone(),
        log_level: Some(Arc::new(telemetry.dial())),
        hostname: hostname(),
        configuration: options.effective.clone().into(),
        control_plane: matches!(options.role, Role::ControlPlane { .. }),
        revision_log_keep: admin.revisions_kept,
        audit_keep: admin.audit_kept,
        max_body: admin.max_body,
        server_tokens: admin.headers.contains(&Header::Server),
        latency_tokens: admin.headers.contains(&Header::AdminLatency),
        access_log: telemetry.admin_access().is_open().then(|| Box::new(log) as _),
        flavor: options.routing.router_flavor,
        migrate: options.migrate,
        node_id,
        ..admin::Options::new(storage, options.judge())
    }
}

/// Sockets with what is spoken there, which were bound in this order.
pub(super) fn listeners(
    sockets: Vec<TcpListener>,
    listen: &[crate::options::Listen],
) -> Vec<admin::Listener> {
    let listener = |(socket, listen): (_, &crate::options::Listen)| admin::Listener {
        socket,
        tls: listen.tls,
        http2: listen.http2,
    };
    sockets.into_iter().zip(listen).map(listener).collect()
}

/// The database of a node, if it has one, to be used with no server around it.
pub fn storage(options: &Options) -> Option<admin::Options> {
    let (Role::Traditional { admin, .. } | Role::ControlPlane { admin, .. }) = &options.role else {
        return None;
    };
    let storage = match &admin.database {
        Database::Sqlite(file) => admin::Storage::Sqlite(file.clone()),
        Database::Postgres(server) => admin::Storage::Postgres(server.clone()),
        Database::Off(_) => return None,
    };
    Some(admin::Options {
        flavor: options.routing.router_flavor,
        revision_log_keep: admin.revisions_kept,
        audit_keep: admin.audit_kept,
        migrate: options.migrate,
        ..admin::Options::new(storage, options.judge())
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
pub(super) fn engine(options: &Options, proxy: &Proxy, telemetry: &Telemetry) -> engine::Options {
    let Workers { count, cores } = proxy.workers.clone();
    let Keepalive { pool_size, idle_timeout, max_requests } = proxy.keepalive;
    engine::Options {
        listen: proxy.listen.iter().map(listen).collect(),
        streams: streams(&proxy.streams, telemetry),
        router: options.routing,
        tls: tls(&proxy.tls),
        workers: engine::options::Workers { count, cores },
        headers: headers(proxy),
        errors: proxy.errors.clone(),
        forwarding: forwarding(&proxy.forwarding),
        lanes: engine::options::Lanes { express: proxy.express_lane },
        io_backend: io_backend(proxy),
        keepalive: engine::options::Keepalive { pool_size, idle_timeout, max_requests },
        upstream_tls: upstream_tls(&proxy.upstream_tls),
        door: door(&proxy.door),
        buffering: engine::door::Buffering {
            memory: proxy.door.body_memory,
            directory: proxy.door.body_directory.clone(),
        },
        connections: proxy.door.connections,
        max_body: proxy.max_body,
        http2: engine::options::Http2 { streams: proxy.http2_streams },
        strict_status: proxy.strict_status,
        public_ports: proxy.public_ports.clone(),
        access_log: waited_for(telemetry.access()),
        ..engine::Options::default()
    }
}

/// A log whose lines are handed over by a thread that may wait.
fn waited_for(log: &Sink) -> Option<LogSink> {
    log.is_open().then(|| {
        let log = log.clone();
        LogSink::new(move |line| log.line_waiting(line))
    })
}

fn streams(streams: &Streams, telemetry: &Telemetry) -> engine::options::Streams {
    engine::options::Streams {
        listen: streams.listen.iter().map(stream_listen).collect(),
        backend: match streams.io_uring {
            true => StreamBackend::Auto,
            false => StreamBackend::Epoll,
        },
        access_log: waited_for(telemetry.stream_access()),
        ..engine::options::Streams::default()
    }
}

fn stream_listen(listen: &crate::options::Listen) -> StreamListen {
    let plain = StreamListen::tcp(listen.addr);
    StreamListen {
        addr: listen.addr,
        udp: listen.udp,
        tls: listen.tls,
        backlog: listen.backlog.unwrap_or(plain.backlog),
        ipv6_only: listen.ipv6_only.unwrap_or(plain.ipv6_only),
        proxy_protocol: listen.proxy_protocol,
        keepalive: listen.keepalive.map(probes),
    }
}

fn probes(Probes { idle, interval, count }: Probes) -> engine::options::Probes {
    engine::options::Probes { idle, interval, count }
}

/// Has access-log lines that the engine could not hand over counted as that log's.
pub(super) fn count_dropped(engine: &engine::Handle, telemetry: &Telemetry) {
    let meter = engine.meter();
    let streams = meter.clone();
    telemetry.access().count_in(move || meter.access_log_dropped());
    telemetry.stream_access().count_in(move || streams.stream_log_dropped());
}

/// The control plane's end of the link.
pub(super) fn cluster_server(
    cluster: &ClusterServer,
    listeners: Vec<TcpListener>,
    trust: [u8; 32],
    steps: Vec<Touched>,
    routing: RouterOptions,
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
            settings: settings(routing),
        },
    }
}

/// The data plane's end of the link.
pub(super) fn cluster_client(
    cluster: &ClusterClient,
    identity: Identity,
    initial: Initial,
    routing: RouterOptions,
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
            settings: settings(routing),
            initial: initial.revision,
            keep: initial.keep,
        },
    }
}

/// What decides which route serves a request: both ends of a link should have it alike.
fn settings(routing: RouterOptions) -> Settings {
    let RouterOptions { router_priority, router_flavor } = routing;
    let settings = [
        ("router_flavor", router_flavor.to_string()),
        ("router_priority", Order::from(router_priority).to_string()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).into()
}

fn listen(listen: &crate::options::Listen) -> engine::options::Listen {
    let plain = engine::options::Listen::plain(listen.addr);
    engine::options::Listen {
        addr: listen.addr,
        backlog: listen.backlog.unwrap_or(plain.backlog),
        tls: listen.tls,
        http2: listen.http2,
        ipv6_only: listen.ipv6_only.unwrap_or(plain.ipv6_only),
        proxy_protocol: listen.proxy_protocol,
        keepalive: listen.keepalive.map(probes),
    }
}

fn door(door: &Door) -> engine::door::Options {
    let plain = engine::door::Options::default();
    engine::door::Options {
        head: engine::door::head::Limits { line: door.line, head: door.head, ..plain.head },
        head_timeout: door.head_timeout,
        body_timeout: door.body_timeout,
        send_timeout: door.send_timeout,
        idle_timeout: door.idle_timeout,
        requests: door.requests,
        ..plain
    }
}

fn io_backend(proxy: &Proxy) -> engine::options::Backend {
    match proxy.io_uring {
        true => engine::options::Backend::IoUring,
        false => engine::options::Backend::Tokio,
    }
}

fn tls(tls: &Tls) -> engine::options::Tls {
    engine::options::Tls {
        oldest: version(tls.versions.oldest),
        newest: version(tls.versions.newest),
        ciphers: match &tls.ciphers {
            Ciphers::Modern => None,
            Ciphers::Intermediate => Some(engine::options::Tls::INTERMEDIATE.to_owned()),
            Ciphers::Old => Some(engine::options::Tls::OLD.to_owned()),
            Ciphers::Custom(list) => Some(list.clone()),
        },
        prefer_server_ciphers: tls.prefer_server_ciphers,
        session_tickets: tls.session_tickets,
        certificates: tls.certificates.iter().map(pem_pair).collect(),
    }
}

fn upstream_tls(tls: &UpstreamTls) -> engine::options::UpstreamTls {
    engine::options::UpstreamTls {
        verify: tls.verify,
        verify_depth: tls.verify_depth,
        authorities: tls.authorities.clone(),
        system_authorities: tls.system_authorities,
        certificate: tls.certificate.as_ref().map(pem_pair),
    }
}

fn pem_pair((cert, key): &(String, String)) -> engine::options::PemPair {
    engine::options::PemPair { cert: cert.clone(), key: key.clone() }
}

fn version(version: Version) -> engine::options::TlsVersion {
    match version {
        Version::V1_0 => engine::options::TlsVersion::V1_0,
        Version::V1_1 => engine::options::TlsVersion::V1_1,
        Version::V1_2 => engine::options::TlsVersion::V1_2,
        Version::V1_3 => engine::options::TlsVersion::V1_3,
    }
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
        debug: proxy.debug_header,
    }
}

fn forwarding(forwarding: &Forwarding) -> engine::options::Forwarding {
    engine::options::Forwarding {
        trusted: forwarding.trusted.clone(),
        real_ip: match &forwarding.real_ip {
            RealIp::Header(name) => engine::options::RealIp::Header(name.clone()),
            RealIp::ProxyProtocol => engine::options::RealIp::ProxyProtocol,
        },
        recursive: forwarding.recursive,
    }
}

/// What this machine calls itself.
pub(super) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
