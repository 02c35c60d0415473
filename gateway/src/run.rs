//! Connects sources of configuration to their sinks, by role. The program on one screen.

mod bind; // listeners that are not the workers'
mod convert; // our options → those of each crate
mod initial; // what a data plane starts from
mod node; // what each role says of itself
mod signals; // when to stop, and what a reload changes

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use model::vitals::{NoVitals, Verdict};
use tokio::sync::watch;

use crate::notify;
use crate::options::{Admin, ClusterClient, Database, Declarative, Options, Role, Status};
use crate::status;
use crate::telemetry::Telemetry;
use bind::Binder;
pub use convert::storage;
use node::{ControlPlane, DataPlane, Rising, Traditional};
use signals::Stop;
pub use signals::{Signals, Starting};

/// Runs the node until it is told to stop. An error is one of starting: what runs, runs.
pub async fn run(
    options: Options,
    telemetry: &Telemetry,
    mut signals: Signals,
) -> anyhow::Result<()> {
    match &options.role {
        Role::Traditional { admin, proxy } => {
            let mut binder = Binder::default();
            let api = binder.bind("admin_listen", &admin.listen);
            let status = binder.bind("status_listen", &options.status.listen);
            binder.probe("proxy_listen", &proxy.listen);
            binder.probe("stream_listen", &proxy.streams.listen);
            binder.finish()?;

            let rising = Arc::new(Rising::default());
            let _status = serve_status(&options, status, rising.clone(), telemetry)?;
            let mut admin = database(&options, admin, api, telemetry).await?;
            let engine =
                Engine::start(convert::engine(&options, proxy, telemetry), admin.revisions())?;
            admin.observe(Arc::new(NoVitals));
            admin.follow(engine.verdicts());
            convert::count_dropped(&engine, telemetry);
            rising.become_node(Traditional::new(&mut admin, &engine));
            settled(engine.verdicts()).await;

            let stop = signals
                .serving(&options, telemetry, async |next| {
                    renew(&admin, &options, next);
                    begin_again(&admin, next).await;
                })
                .await;
            end(signals, stop, async |patience| {
                engine.shutdown(patience).await;
                admin.shutdown(patience).await;
            })
            .await;
        }
        Role::ControlPlane { admin, cluster } => {
            let mut binder = Binder::default();
            let api = binder.bind("admin_listen", &admin.listen);
            let link = binder.bind("cluster_listen", &cluster.listen);
            let status = binder.bind("status_listen", &options.status.listen);
            binder.finish()?;

            let purge_delay = admin.purge_delay;
            let rising = Arc::new(Rising::default());
            let _status = serve_status(&options, status, rising.clone(), telemetry)?;
            let mut admin = database(&options, admin, api, telemetry).await?;
            let (trust, steps) = (admin.trust(), admin.take_steps());
            let server =
                convert::cluster_server(cluster, link, trust, steps, options.routing, purge_delay);
            let server = cluster::Server::start(server, admin.revisions())?;
            admin.observe(server.vitals());
            admin.heed(server.ahead());
            rising.become_node(ControlPlane::new(&mut admin, server.vitals()));

            let stop = signals
                .serving(&options, telemetry, async |next| renew(&admin, &options, next))
                .await;
            end(signals, stop, async |patience| {
                admin.shutdown(patience).await; // no more changes, then no more links
                server.shutdown().await;
            })
            .await;
        }
        Role::DataPlane { cluster, proxy, fallback } => {
            let mut binder = Binder::default();
            let status = binder.bind("status_listen", &options.status.listen);
            binder.probe("proxy_listen", &proxy.listen);
            binder.probe("stream_listen", &proxy.streams.listen);
            binder.finish()?;

            let (client, set_aside) = connect(&options, cluster, fallback.as_ref())?;
            let engine =
                Engine::start(convert::engine(&options, proxy, telemetry), client.revisions())?;
            client.report(engine.verdicts());
            convert::count_dropped(&engine, telemetry);
            let node = DataPlane::new(&client, &engine, set_aside);
            let _status = serve_status(&options, status, Arc::new(node), telemetry)?;
            settled(engine.verdicts()).await;

            let stop = signals.serving(&options, telemetry, async |_| ()).await;
            end(signals, stop, async |patience| {
                engine.shutdown(patience).await; // the link stays up: the control plane sees us drain
                client.shutdown().await;
            })
            .await;
        }
    }
    Ok(())
}

/// The control plane's half, once its database is there: one that is away is waited for. A node that
/// shares its database has an id of its own.
async fn database(
    options: &Options,
    admin: &Admin,
    listeners: Vec<TcpListener>,
    telemetry: &Telemetry,
) -> anyhow::Result<admin::Server> {
    let node_id = match admin.database {
        Database::Postgres(_) => Some(cluster::Identity::load_or_create(&options.prefix)?.id()),
        Database::Sqlite(_) | Database::Off(_) => None,
    };
    let options = convert::admin(options, admin, listeners, node_id, telemetry);
    Ok(admin::Server::start(options).await?)
}

/// A data plane's end of the link, with what it starts from, and what was wrong with its cache.
fn connect(
    options: &Options,
    cluster: &ClusterClient,
    fallback: Option<&Declarative>,
) -> anyhow::Result<(cluster::Client, cluster::cache::Aside)> {
    let identity = cluster::Identity::load_or_create(&options.prefix)?;
    let start = initial::initial(options, cluster, fallback)?;
    let set_aside = start.set_aside.clone();
    let client = convert::cluster_client(cluster, identity, start, options.routing);
    Ok((cluster::Client::start(client)?, set_aside))
}

/// The status listener, until what is returned is dropped.
fn serve_status(
    options: &Options,
    sockets: Vec<TcpListener>,
    node: Arc<dyn status::Node>,
    telemetry: &Telemetry,
) -> Result<admin::Serving, admin::ServeError> {
    let Status { listen, tls } = &options.status;
    status::serve(convert::listeners(sockets, listen), tls, node, telemetry.logs())
}

/// Takes up who is let in to the Admin API, and what they are shown, if its listeners stay what they are.
fn renew(admin: &admin::Server, running: &Options, next: &Options) {
    let (Some(running), Some(next)) = (running.role.admin(), next.role.admin()) else { return };
    if running.listen != next.listen {
        return; // what was checked is not what is open
    }
    if let Err(error) = admin.renew(&next.tls, next.rules.clone()) {
        tracing::error!("reload: the Admin API is served as before: {error}");
    }
}

/// Reads its document again, in the place of whatever was posted since.
async fn begin_again(admin: &admin::Server, next: &Options) {
    let Role::Traditional { admin: Admin { database: Database::Off(Some(document)), .. }, .. } =
        &next.role
    else {
        return;
    };
    match admin.begin_again(document).await {
        Ok(true) => tracing::info!("reload: the configuration is declarative_config's again"),
        Ok(false) => {}
        Err(error) => tracing::error!("reload: declarative_config is not taken: {error}"),
    }
}

/// Waits until the workers serve what there was at start, or have refused it.
async fn settled(mut verdicts: watch::Receiver<Verdict>) {
    let settled = |verdict: &Verdict| verdict.effective.is_some() || verdict.refused.is_some();
    let _ = verdicts.wait_for(settled).await; // an engine that is gone has said why
}

/// Ends what runs: at once, or when everything in flight is finished or a second signal comes.
async fn end(mut signals: Signals, stop: Stop, shutdown: impl AsyncFnOnce(Duration)) {
    notify::stopping();
    match stop {
        Stop::AtOnce => shutdown(Duration::ZERO).await,
        Stop::Graceful => tokio::select! {
            () = shutdown(Duration::MAX) => {}
            () = signals.at_once() => tracing::warn!("told to stop at once: cutting what is in flight"),
        },
    }
    tracing::info!("stopped");
}
