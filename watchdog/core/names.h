/*
 * names.h
 *	  Every name that the core prints, each in one list.
 *
 * Diagnoses, phases, inputs (what a round noticed), steps, events and states
 * come from X-macros, so that no table of names can be forgotten.  Zero is
 * always "unknown" or "nothing".  Scripts outside read these names: a name
 * that was released is never given another meaning.
 */
#ifndef RG_NAMES_H
#define RG_NAMES_H

/* What is the matter with the cluster's primary (design: evidence). */
#define RG_DIAGNOSES(X) \
	X(UNKNOWN,       "unknown",         "not enough has been seen yet") \
	X(UNINITIALISED, "not initialised", "no node holds a rule: run regent init") \
	X(HEALTHY,       "healthy",         "the primary answers and is writable") \
	X(SUSPECT,       "suspect",         "the primary does not answer; evidence is being gathered") \
	X(CRASHED,       "primary crashed", "its postmaster is gone and the control file says that it was not stopped") \
	X(STOPPED,       "stopped on purpose", "the primary was shut down by somebody") \
	X(RECOVERING,    "recovering",      "the primary is starting up") \
	X(OVERDUE,       "overdue",         "the primary did not come back within restart_budget") \
	X(SATURATED,     "saturated",       "the primary is alive but has no connection left for us") \
	X(LOGIN_REFUSED, "login refused",   "the primary is alive but does not let us log in") \
	X(HUNG,          "hung",            "the host answers, the server does not") \
	X(CUT_OFF,       "watchdog cut off from the primary", "we can't reach the primary, but its standbys still receive WAL") \
	X(HOST_LOST,     "host lost",       "nothing reaches the primary's host and no standby receives WAL from it") \
	X(ISOLATED,      "watchdog isolated", "no node answers: it is us who are cut off") \
	X(UNPROVEN,      "unproven",        "nobody listens on the primary's port, but SSH can't prove that the server is gone") \
	X(DEMOTED,       "demoted",         "the leader's server runs as a standby") \
	X(WRONG_SERVER,  "wrong server",    "the leader's address is answered by another server") \
	X(BEHIND,        "leader behind",   "the leader's server holds less than others have shown: it was restored from an older copy") \
	X(NOT_OBEYED,    "not obeyed",      "the cluster obeys another watchdog, or a later start of this one") \
	X(DISK_FULL,     "disk full",       "the primary answers, but there is no room on a disk of its") \
	X(DISK_FAILING,  "disk failing",    "the primary answers, but writes on a disk of its fail") \
	X(DISK_HUNG,     "disk hung",       "the primary answers, but its disk does not: nothing commits") \
	X(CRASH_LOOP,    "crash loop",      "the primary answers, but has crashed and come back too often") \
	X(CRASHED_AGAIN, "crashed again",   "the primary, which has crashed too often, is starting up once more")

/* Where the cluster's machine stands. */
#define RG_PHASES(X) \
	X(STARTING,   "starting") \
	X(STEADY,     "steady") \
	X(SUSPECTING, "suspecting") \
	X(WAITING,    "waiting") \
	X(ALARMED,    "alarmed") \
	X(RECRUITING, "recruiting") \
	X(PROMOTING,  "promoting") \
	X(RULING,     "ruling") \
	X(UNDOING,    "undoing") \
	X(SWITCHING,  "switching over")

/* What one round noticed: the inputs of the phase table. */
#define RG_INPUTS(X) \
	X(NOTHING,          "nothing") \
	X(LEADER_WELL,      "leader well") \
	X(LEADER_DOUBTED,   "leader doubted") \
	X(LEADER_WAITED,    "leader waited for") \
	X(LEADER_ALIVE,     "leader alive or unproven") \
	X(FAILOVER_CALLED,  "failover called for") \
	X(LEADER_BACK,      "leader back before the fence") \
	X(CANDIDATE_CHOSEN, "candidate chosen") \
	X(PROMOTED,         "promoted") \
	X(CANDIDATE_LOST,   "candidate lost") \
	X(RULE_WRITTEN,     "rule written") \
	X(SWITCHOVER_ASKED, "switchover asked for") \
	X(SWITCHOVER_READY, "switchover: the target has every byte") \
	X(SWITCHOVER_FAILED, "switchover failed while the leader can go on") \
	X(LEADER_DIED,      "the leader died during the switchover") \
	X(LEADER_GIVEN_UP,  "leader given up")

/* One action of the watchdog on one node. */
#define RG_STEPS(X) \
	X(NONE,        "none") \
	X(PROBE,       "probe") \
	X(FENCE,       "fence") \
	X(PROMISE,     "promise") \
	X(PROMOTE_SQL, "promote over SQL") \
	X(PROMOTE_SSH, "promote over SSH") \
	X(WRITE_RULE,  "write rule") \
	X(FOLLOW,      "follow") \
	X(START,       "start") \
	X(COPY,        "copy") \
	X(SWAP,        "swap") \
	X(SETTLE,      "settle") \
	X(UNSWAP,      "unswap") \
	X(DISCARD,     "discard") \
	X(CHECKPOINT,  "checkpoint") \
	X(FENCE_SQL,   "fence over SQL") \
	X(STOP,        "stop") \
	X(TAKEOVER,    "takeover") \
	X(FETCH,       "fetch") \
	X(CLONE,       "clone") \
	X(REWIND,      "rewind") \
	X(DELTA,       "delta") \
	X(ABORT,       "abort")

/* What people read in `regent events` and in the log. */
#define RG_EVENTS(X) \
	X(NONE,             "none") \
	X(WATCHDOG_START,   "watchdog_start") \
	X(WATCHDOG_STOP,    "watchdog_stop") \
	X(CONFIG_RELOADED,  "config_reloaded") \
	X(CONFIG_REFUSED,   "config_refused") \
	X(LEADER_FOUND,     "leader_found") \
	X(PRIMARY_SUSPECT,  "primary_suspect") \
	X(PRIMARY_WAITED,   "primary_waited") \
	X(PRIMARY_ALARM,    "primary_alarm") \
	X(PRIMARY_WELL,     "primary_well") \
	X(FAILOVER_BEGIN,   "failover_begin") \
	X(FENCED,           "fenced") \
	X(CANDIDATE_CHOSEN, "candidate_chosen") \
	X(PROMOTED,         "promoted") \
	X(FAILOVER_END,     "failover_end") \
	X(FAILOVER_REFUSED, "failover_refused") \
	X(FAILOVER_UNDONE,  "failover_undone") \
	X(FAILOVER_AGAIN,   "failover_again") \
	X(NODE_STATE,       "node_state") \
	X(NODE_REJOIN,      "node_rejoin") \
	X(NODE_DIVERGED,    "node_diverged") \
	X(STALE_PRIMARY,    "stale_primary") \
	X(STEP_FAILED,      "step_failed") \
	X(SSH_STATE,        "ssh_state") \
	X(REBUILD_QUEUED,   "rebuild_queued") \
	X(REBUILD_BEGIN,    "rebuild_begin") \
	X(REBUILD_RETRY,    "rebuild_retry") \
	X(REBUILD_END,      "rebuild_end") \
	X(REBUILD_FAILED,   "rebuild_failed") \
	X(LOSS_MEASURED,    "loss_measured") \
	X(REBUILD_METHOD,   "rebuild_method") \
	X(REBUILD_CANCELLED, "rebuild_cancelled") \
	X(SWITCHOVER_BEGIN, "switchover_begin") \
	X(SWITCHOVER_END,   "switchover_end") \
	X(SWITCHOVER_UNDONE, "switchover_undone") \
	X(SWITCHOVER_REFUSED, "switchover_refused") \
	X(LOSS_ACCEPTED,    "loss_accepted") \
	X(WATCHDOG_INTRUDER, "watchdog_intruder") \
	X(TAKEOVER,         "takeover") \
	X(RULE_CHANGED,     "rule_changed") \
	X(RULE_WANTED,      "rule_wanted") \
	X(WAL_FETCH,        "wal_fetch") \
	X(SLOT_RELEASED,    "slot_released") \
	X(LOGICAL_SLOTS_LOST, "logical_slots_lost") \
	X(NODE_CRASHED,     "node_crashed") \
	X(DISK_STATE,       "disk_state") \
	X(HANDOVER,         "handover") \
	X(NODE_ADD,         "node_add") \
	X(NODE_ADDED,       "node_added") \
	X(NODE_ADD_FAILED,  "node_add_failed") \
	X(NODE_REMOVE,      "node_remove") \
	X(NODE_REMOVED,     "node_removed") \
	X(NODE_REMOVE_FAILED, "node_remove_failed")

/* States of a node, as status shows them. */
#define RG_NODE_STATES(X) \
	X(UNKNOWN,       "unknown") \
	X(OK,            "ok") \
	X(STARTING,      "starting") \
	X(RECOVERING,    "recovering") \
	X(NOT_STREAMING, "not_streaming") \
	X(LAGGING,       "lagging") \
	X(REBUILDING,    "rebuilding") \
	X(FENCED,        "fenced") \
	X(UNREACHABLE,   "unreachable") \
	X(DEAD,          "dead")

/* How a node's disks are, in the words of node_status(). */
#define RG_DISKS(X) \
	X(UNKNOWN, "unknown") \
	X(OK,      "ok") \
	X(FULL,    "full") \
	X(FAILING, "failing") \
	X(HUNG,    "hung")

#define RG_JOB_STATES(X) \
	X(UNKNOWN,   "unknown") \
	X(QUEUED,    "queued") \
	X(RUNNING,   "running") \
	X(DONE,      "done") \
	X(FAILED,    "failed") \
	X(CANCELLED, "cancelled")

#define RG_JOB_KINDS(X) \
	X(UNKNOWN,    "unknown") \
	X(REBUILD,    "rebuild") \
	X(SWITCHOVER, "switchover") \
	X(ADD,        "add") \
	X(REMOVE,     "remove")

#define RG_JOB_PHASES(X) \
	X(NONE,   "none") \
	X(COPY,   "copy") \
	X(SWAP,   "swap") \
	X(VERIFY, "verify") \
	X(SETTLE, "settle") \
	X(UNDO,   "undo") \
	X(CLEAN,  "clean up") \
	X(CLONE,  "clone") \
	X(JOIN,   "join") \
	X(VOTE,   "vote") \
	X(LEAVE,  "leave") \
	X(PARK,   "park") \
	X(REWIND, "rewind") \
	X(FOLLOW, "follow") \
	X(DELTA,  "delta")

/* How a node is rebuilt, the cheapest way first. */
#define RG_METHODS(X) \
	X(AUTO,   "auto") \
	X(REWIND, "rewind") \
	X(DELTA,  "delta") \
	X(COPY,   "copy")

#define RG_DIAG_ENUM(id, name, text) RG_DIAG_##id,
#define RG_PHASE_ENUM(id, name) RG_PHASE_##id,
#define RG_INPUT_ENUM(id, name) RG_INPUT_##id,
#define RG_STEP_ENUM(id, name) RG_STEP_##id,
#define RG_EVENT_ENUM(id, name) RG_EVENT_##id,
#define RG_STATE_ENUM(id, name) RG_STATE_##id,
#define RG_DISK_ENUM(id, name) RG_DISKV_##id,
#define RG_JOB_ENUM(id, name) RG_JOB_##id,
#define RG_JOBKIND_ENUM(id, name) RG_JOBKIND_##id,
#define RG_JOBPHASE_ENUM(id, name) RG_JOBPHASE_##id,
#define RG_METHOD_ENUM(id, name) RG_METHOD_##id,

typedef enum RgDiagnosis { RG_DIAGNOSES(RG_DIAG_ENUM) RG_DIAG_COUNT } RgDiagnosis;
typedef enum RgPhase { RG_PHASES(RG_PHASE_ENUM) RG_PHASE_COUNT } RgPhase;
typedef enum RgInput { RG_INPUTS(RG_INPUT_ENUM) RG_INPUT_COUNT } RgInput;
typedef enum RgStepKind { RG_STEPS(RG_STEP_ENUM) RG_STEP_COUNT } RgStepKind;
typedef enum RgEvent { RG_EVENTS(RG_EVENT_ENUM) RG_EVENT_COUNT } RgEvent;
typedef enum RgNodeState { RG_NODE_STATES(RG_STATE_ENUM) RG_STATE_COUNT } RgNodeState;
typedef enum RgDiskView { RG_DISKS(RG_DISK_ENUM) RG_DISKV_COUNT } RgDiskView;
typedef enum RgJobState { RG_JOB_STATES(RG_JOB_ENUM) RG_JOB_COUNT } RgJobState;
typedef enum RgJobKind { RG_JOB_KINDS(RG_JOBKIND_ENUM) RG_JOBKIND_COUNT } RgJobKind;
typedef enum RgJobPhase { RG_JOB_PHASES(RG_JOBPHASE_ENUM) RG_JOBPHASE_COUNT } RgJobPhase;
typedef enum RgMethod { RG_METHODS(RG_METHOD_ENUM) RG_METHOD_COUNT } RgMethod;

extern const char *rg_diagnosis_name(RgDiagnosis d);
extern const char *rg_diagnosis_text(RgDiagnosis d);
extern const char *rg_phase_name(RgPhase p);
extern const char *rg_input_name(RgInput i);
extern const char *rg_step_name(RgStepKind s);
extern const char *rg_event_name(RgEvent e);
extern const char *rg_node_state_name(RgNodeState s);
extern const char *rg_disk_name(RgDiskView d);
extern const char *rg_job_state_name(RgJobState s);
extern const char *rg_job_phase_name(RgJobPhase p);
extern const char *rg_job_kind_name(RgJobKind k);
extern const char *rg_method_name(RgMethod m);

/* The value of a printed name, or 0 (unknown, nothing) when there is none. */
extern RgDiagnosis rg_diagnosis_find(const char *name);
extern RgPhase rg_phase_find(const char *name);
extern RgDiskView rg_disk_find(const char *name);
extern RgStepKind rg_step_find(const char *name);
extern RgJobState rg_job_state_find(const char *name);
extern RgJobPhase rg_job_phase_find(const char *name);
extern RgJobKind rg_job_kind_find(const char *name);
extern RgMethod rg_method_find(const char *name);

#endif							/* RG_NAMES_H */
