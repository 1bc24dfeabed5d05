"""PURE. The files of the product in the order in which a newcomer should read them, layer by layer."""

from typing import NamedTuple


class Stop(NamedTuple):
    """Some files of one folder that are read together; `files` in reading order, without their suffix."""

    title: str
    folder: str
    files: str


TOUR: tuple[Stop, ...] = (
    Stop("Words: what everything is about", "fleet", "pair errors clock config keys cell"),
    Stop("A book, and what happens to it", "books", "events decimals book sequence"),
    Stop("How a book travels", "books", "wire loaded join store reader lanes live"),
    Stop(
        "The protocol itself, a verb a file", "lua",
        "acquire renew release offer publish touch stale trim beat elect write_plan budget",
    ),
    Stop(
        "Redis", "fleet",
        "redis_connection redis_pool connect_pace ordered kept_connected "
        "script_source scripts layout redis_url redis_check redis_sockets",
    ),
    Stop("Who owns what: leases", "fleet", "lease_states own_thread lease lease_hold standing hold_states"
        " succession assignment evidence"),
    Stop("Who owns what: members", "fleet", "heartbeat election upkeep"),
    Stop("Redis Cluster", "fleet", "cluster_map cluster_commands cluster_routes redis_cluster ordered_cluster"),
    Stop("Who should own what", "fleet", "plan placement heirs orders plan_store deafness replan serving planner"),
    Stop("The life of a process", "fleet", "supervisor backoff logs cancellation"),
    Stop("SQL", "fleet", "sql exact schema daemon_state"),
    Stop("What the fleet is asked to do", "fleet/tasks", "model files store poller"),
    Stop("Feeds: what a venue must answer", "feeds", "venue"),
    Stop("Feeds: how recordings of a venue are read", "feeds/venues", "history"),
    Stop("Feeds: Binance", "feeds/venues/binance", "spot futures payloads frames metadata"),
    Stop("Feeds: OKX", "feeds/venues/okx", "market_data metadata checksum"),
    Stop("Feeds: Bybit", "feeds/venues/bybit", "market_data pushes answers metadata"),
    Stop("Feeds: KuCoin", "feeds/venues", "kucoin_rest kucoin_recordings"),
    Stop("Feeds: KuCoin, today", "feeds/venues/kucoin", "market_data"),
    Stop("Feeds: KuCoin, classic", "feeds/venues/kucoin_classic", "market_data payloads"),
    Stop("Feeds: HTX", "feeds/venues/htx", "spot futures frames payloads metadata"),
    Stop("Feeds: MEXC", "feeds/venues/mexc", "spot spot_frames schema contract contract_frames metadata"),
    Stop("Feeds: CoinEx", "feeds/venues/coinex", "market_data payloads frames checksum metadata"),
    Stop("Feeds: Hyperliquid", "feeds/venues/hyperliquid", "market_data answers metadata"),
    Stop(
        "Feeds: a connection's life, pure", "feeds",
        "outputs session roster session_pair subscriptions pacer feed_words pair_feed rhythm liveness sampling handover "
        "quarantine pair_state hearing",
    ),
    Stop("Feeds: the shell around it", "feeds", "connection outage rest budgets link instruments market pool scout samples"),
    Stop("Feeds: to Redis", "feeds", "source chain warm outbox publisher hold offers ownership role"),
    Stop("Feeds: replay of recordings", "feeds", "recording recorded_venue replay"),
    Stop(
        "Monitor: history", "monitor",
        "schema rows positions batch group clickhouse stored collector snapshots stats history role",
    ),
    Stop(
        "Trader: what may be decided", "trader", "orders money portfolio strategy risk paper",
    ),
    Stop("Trader: strategies", "trader/strategies", "grid bbo"),
    Stop("Trader: what is done", "trader", "lease ledger market engine account role report"),
    Stop("Operating: the processes", "ops", "daemon planning prerequisites up demo demo_check interruption allocator"),
    Stop(
        "Operating: looking at a fleet", "ops",
        "status observer status_table ladder shown watching explanation explainer explanation_text",
    ),
    Stop("Operating: fleet top", "ops/top", "state controls keyboard views terminal app"),
    Stop(
        "Operating: the command line", "ops/cli",
        "app run __main__ session output arguments init daemon demo status book tasks top "
        "rebalance drain explain config doctor bench sim chaos",
    ),
    Stop(
        "Operating: the doctor", "ops/doctor", "check examination machine redis_server redis_rights databases venues",
    ),
    Stop("Servers from wheels", "ops/embedded", "server process tied redis clickhouse clickhouse_child mariadb errors"),
    Stop(
        "The venue simulator", "ops/simulator",
        "simulator registry venue wire market ladder window feed faults misbehaviours limits lateness stats catalogue control"
        " __main__",
    ),
    Stop("The venue simulator: Binance", "ops/simulator/binance", "public rest text listing"),
    Stop("The venue simulator: OKX", "ops/simulator/okx", "public rest text listing"),
    Stop("The venue simulator: Bybit", "ops/simulator/bybit", "public books rest text listing quirks"),
    Stop(
        "The venue simulator: KuCoin", "ops/simulator/kucoin",
        "public pro pro_text classic classic_text dialect rest listing misbehaviours",
    ),
    Stop("The venue simulator: HTX", "ops/simulator/htx", "public spot swap view rest text listing"),
    Stop(
        "The venue simulator: MEXC", "ops/simulator/mexc",
        "common spot_public spot_rest spot_text protobuf contract_public contract_rest contract_text listing",
    ),
    Stop("The venue simulator: CoinEx", "ops/simulator/coinex", "public streams trades rest text listing quirks"),
    Stop(
        "The venue simulator: Hyperliquid", "ops/simulator/hyperliquid",
        "public subscriptions rest text listing misbehaviours",
    ),
    Stop(
        "Chaos: a fleet to be hurt", "ops/chaos",
        "scenario scale result registry stage fleet ground child markets watcher records chains untouched judgement truth late "
        "hurtable memory table",
    ),
    Stop("Chaos: what is done to it", "ops/chaos/scenarios", "workers leaders machine venues redis failover stored partitions"),
    Stop("Chaos: connections and networks", "ops/chaos", "behaviour door entering proxy proxy_process namespaces listener"),
    Stop("Proving", "ops/chaos", "history grants line_check checker history_files recorder probe rows stored book_comparison"),
    Stop("Measuring", "ops/bench", "plan ingest load recovery recovery_figures recovery_table"),
    Stop("These pages", "ops", "architecture reference api_reference tour"),
    Stop("Pictures", "ops/pictures", "top"),
)  # fmt: skip
