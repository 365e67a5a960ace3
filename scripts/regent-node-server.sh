#
# regent-node-server.sh
#	  What regent-node knows about a server: its directory and locks, its
#	  processes, its control file, its node state file.  Sourced by regent-node.
#
# Nothing here trusts a pid file or a name.  A process belongs to the server when
# its working directory *is* the data directory (device and inode) or when it is
# attached to the server's shared memory; it is dead when neither can be seen any
# more.  Files are replaced by rename and synced before anybody is told.
#
# ---- the directory and its locks ---------------------------------------------

# Hundredths of a second that only grow.
now() {
	read -r uptime _ </proc/uptime
	now=${uptime%.*}${uptime#*.}
}

# Enters the data directory.  From here on all its files are named relative to
# it: a swap that exchanges the names can't lead a step into the other directory.
open_directory() {
	put_back_half_swap
	cd -P -- "$data_directory" 2>/dev/null ||
		fail no_directory "can't enter $data_directory" "see whether it exists, is mounted and belongs to $(id -un)"
	real=$PWD
	new=$real.regent-new
	old=$real.regent-old
	old_there=false
	[ ! -e "$old" ] || old_there=true
	marker=$real.regent-copy
	store=$real.regent-rewind
	diverged=$real.regent-diverged
	note_rewinding
}

# In a directory that pg_rewind has begun to change and that was not dressed yet:
# nothing may start there.  A named pipe, because pg_rewind removes every file
# that its source lacks, but does not look at pipes.
rewind_mark=regent.rewinding

# Meanwhile, what is the node's own lies beside the directory.
note_rewinding() {
	rewinding=false own_state=.
	[ ! -e $rewind_mark ] || rewinding=true own_state=$store
}

check_not_rewinding() {
	! $rewinding || fail half_rewound "$real was being rewound, and that is not finished: it can't be started" "regent rebuild $node"
}

# For verbs that write: files of another owner would keep the server from starting.
open_own_directory() {
	open_directory
	[ -O . ] || fail wrong_user "$real does not belong to $(id -un)" 'set ssh_user in regent.conf to the owner of the data directory'
	[ -e PG_VERSION ] && [ -e global/pg_control ] ||
		fail not_a_data_directory "$real is not a data directory of PostgreSQL" "correct data_directory of [$node] in $config"
}

# A swap that was killed between its two renames left no directory under the
# node's name.  Under the lock of swap nobody is at work there.
put_back_half_swap() {
	[ ! -e "$data_directory" ] && [ ! -L "$data_directory" ] || return 0
	[ -e "$data_directory.regent-old/PG_VERSION" ] || return 0
	sleep 0.1 # a swap that lives needs microseconds
	[ ! -e "$data_directory" ] || return 0
	real=$data_directory
	lock_siblings
	if [ ! -e "$data_directory" ] && mv -T -- "$data_directory.regent-old" "$data_directory"; then
		sync "${data_directory%/*}"
	fi
	exec 8>&-
}

# One copy, rewind, swap or removal at a time.  Its lock file lies beside the
# directory, since these verbs exchange the directory itself.  Children of a
# killed verb hold it as long as they live.
#
# The file also says the highest number of a job that was let in: its rule's term
# and seq, and its ticket.  A verb with a lower one was held up on its way, and is
# refused.  A verb with a number ends whoever still holds the lock: what was frozen
# in the middle never wakes to do the rest.  The number counts for this boot of the
# host only: nothing that was held up comes through a boot, so it needs no sync.
lock_siblings() {
	lock_file=$real.regent-lock patience=5
	[ -z "$job$ends_others" ] || patience=1
	for lock_try in 1 2 3 4; do
		! try_siblings || break
		exec 8>&-
		refuse_outdated
		[ -n "$job$ends_others" ] && [ "$lock_try" != 4 ] && end_holders "$lock_file" || {
			find_holders "$lock_file"
			fail busy "another copy, rewind, swap or removal of $node is at work: process${holders:- unknown}" "wait for it; if it hangs: kill -KILL$holders"
		}
	done
	[ -n "$job" ] || return 0
	refuse_outdated
	# in place: also on a full disk
	{ printf '%-120s\n' "$boot_id $job_term $job_seq $job_ticket" 1<>"$lock_file"; } 2>/dev/null ||
		fail no_space "can't write $lock_file" 'free some space'
}

try_siblings() {
	while :; do
		{ command exec 8>>"$lock_file"; } 2>/dev/null ||
			fail no_permission "can't write beside $real" "let $(id -un) write in ${real%/*}, or move the data directory one level down"
		flock -w $patience 8 || return 1
		[ ! /proc/self/fd/8 -ef "$lock_file" ] || return 0
	done
}

# check_job TERM.SEQ.TICKET
check_job() {
	job=$1
	job_term=${job%%.*} job_ticket=${job##*.} job_seq=${job#*.}
	job_seq=${job_seq%%.*}
	[ "$job" = "$job_term.$job_seq.$job_ticket" ] || usage 'a job is TERM.SEQ.TICKET'
	check_number 'term of the job' "$job_term"
	case $job_seq in
	'' | *[!0-9]* | ??????????*) usage 'seq of the job is no number' ;;
	esac
	check_number 'ticket of the job' "$job_ticket"
	read -r boot_id </proc/sys/kernel/random/boot_id
}

refuse_outdated() {
	[ -n "$job" ] || return 0
	seen_boot= seen_term= seen_seq= seen_ticket=
	{ read -r seen_boot seen_term seen_seq seen_ticket; } 2>/dev/null <"$lock_file"
	[ "$seen_boot" = "$boot_id" ] || return 0
	case $seen_term:$seen_seq:$seen_ticket in
	:* | *: | *::* | *[!0-9:]*) return 0 ;;
	esac
	if [ "$job_term" -ne "$seen_term" ]; then
		[ "$job_term" -lt "$seen_term" ] || return 0
	elif [ "$job_seq" -ne "$seen_seq" ]; then
		[ "$job_seq" -lt "$seen_seq" ] || return 0
	elif [ "$job_ticket" -ge "$seen_ticket" ]; then
		return 0
	fi
	fail outdated "this verb is of job $job, and $seen_term.$seen_seq.$seen_ticket was here already: it comes too late" 'nothing to do: a newer decision is in force'
}

# find_holders FILE: $holders, those of our verbs, and what they run, that have it
# open: as 8 or 9, or above, where the shell puts these while a command runs without
# them.  Nobody else opens that file; the server's processes are left out.
find_holders() {
	holders=
	for proc in /proc/[0-9]*; do
		[ -O "$proc" ] || continue
		for fd in "$proc"/fd/*; do
			case $fd in */[0-7]) continue ;; esac
			[ "$fd" -ef "$1" ] || continue
			is_server_process "${proc#/proc/}" || holders="$holders ${proc#/proc/}"
			break
		done
	done
}

# end_holders FILE, which we have closed ourselves: true when nobody is left.
end_holders() {
	now
	holders_until=$((now + 500))
	while find_holders "$1" && [ -n "$holders" ]; do
		# shellcheck disable=SC2086
		kill -KILL $holders 2>/dev/null
		now
		[ "$now" -lt $holders_until ] || return 1
		sleep 0.01
	done
}

# lock_node SECONDS: the lock that promise, promote and follow take inside the
# server.  While one of our verbs holds it, the server does not start (extension/start.c).
# pg_rewind may have removed the file that somebody has locked.
lock_node() {
	while :; do
		{ command exec 9>>regent.lock; } 2>/dev/null || return 2
		flock -w "$1" 9 || return 1
		[ ! /proc/self/fd/9 -ef regent.lock ] || break
	done
	note_rewinding
}

unlock_node() {
	exec 9>&-
}

# Verbs that are a later decision than whatever is at work there end it, when it
# does not end by itself: it is frozen, or its disk is.
require_node_lock() {
	! lock_node "$1" || return 0
	unlock_node
	[ -n "$ends_others" ] && end_holders regent.lock && lock_node 1 || {
		unlock_node
		find_holders regent.lock
		fail busy "no lock on $real/regent.lock within $1 s" "something holds it: fuser -v $real/regent.lock${holders:+; if it hangs: kill -KILL$holders}"
	}
}

# Before a start: a swap that is at work comes first, one that is frozen is ended.
wait_for_exchange() {
	require_node_lock 5
	unlock_node
	[ . -ef "$data_directory" ] || open_own_directory
}

# ---- processes ---------------------------------------------------------------

# The server binary; after an upgrade the link reads "... (deleted)".  A process
# whose exe is gone while its cwd is not yet is on its way out: still alive.
# Shells, this one too, are told without a fork.
is_server_process() {
	[ "/proc/$1/exe" -ef "$bin_directory/postgres" ] && return 0
	[ "/proc/$1/exe" -ef /proc/self/exe ] && return 1
	exe=$(readlink "/proc/$1/exe") || return 0
	exe=${exe% (deleted)}
	[ "${exe##*/}" = postgres ]
}

# $procs: every live process of this server.  Its cwd is the data directory, told
# by device and inode, which mounts and renames don't change.  A zombie has none.
# A directory that was swapped out is looked at too: a server may run there.
scan_server() {
	procs=
	for proc in /proc/[0-9]*; do
		[ "$proc/cwd" -ef . ] || { $old_there && [ "$proc/cwd" -ef "$old" ]; } || continue
		is_server_process "${proc#/proc/}" && procs="$procs ${proc#/proc/}"
	done
}

# $stat_state and $stat_parent of a process; its name may contain anything.
read_stat() {
	stat=
	{
		while read -r line || [ -n "$line" ]; do
			stat="$stat $line"
		done
	} 2>/dev/null <"/proc/$1/stat"
	stat=${stat##*) }
	stat_state=${stat%% *}
	stat=${stat#* }
	stat_parent=${stat%% *}
}

# postmaster.pid: $pidfile (there?), $pidfile_pid, $pidfile_directory,
# $pidfile_start, $pidfile_socket (its first one), $pidfile_shm ("key id")
read_pidfile() {
	pidfile=false pidfile_pid= pidfile_directory= pidfile_start= pidfile_port=
	pidfile_socket= pidfile_shm=
	[ -e postmaster.pid ] || return 0
	pidfile=true
	line_no=0
	while read -r line; do
		line_no=$((line_no + 1))
		case $line_no in
		1) pidfile_pid=${line#-} ;; # negative: a single-user server
		2) pidfile_directory=$line ;;
		3) pidfile_start=$line ;;
		4) pidfile_port=$line ;;
		5) pidfile_socket=$line/.s.PGSQL.$pidfile_port ;;
		7) pidfile_shm=$line ;;
		esac
	done <postmaster.pid
	case $pidfile_pid in *[!0-9]*) pidfile_pid= ;; esac
	case $pidfile_start in *[!0-9]*) pidfile_start= ;; esac
}

# $postmaster (alive|frozen|absent) and $postmaster_pid, after scan_server.
find_postmaster() {
	postmaster=absent postmaster_pid=
	read_pidfile
	for pid in $procs; do
		[ "$pid" = "$pidfile_pid" ] && postmaster_pid=$pid
	done
	[ -n "$postmaster_pid" ] || find_parent # somebody has removed its file
	[ -n "$postmaster_pid" ] || return 0
	read_stat "$postmaster_pid"
	case $stat_state in
	'' | [ZXx]) postmaster_pid= ;;
	[Tt]) postmaster=frozen ;;
	*) postmaster=alive ;;
	esac
}

find_parent() {
	for pid in $procs; do
		read_stat "$pid"
		case "$procs " in
		*" ${stat_parent:-none} "*)
			postmaster_pid=$stat_parent
			return
			;;
		esac
	done
}

# $attached: processes attached to the server's shared memory, by the kernel's own
# count.  It knows what a scan can't: a backend that went to another directory, a
# server in another PID namespace.
count_attached() {
	attached=0 shm_there=false
	[ -n "$pidfile_shm" ] || return 0
	shm_id=${pidfile_shm##* }
	while read -r _ id _ _ creator _ count _; do
		[ "$id" = "$shm_id" ] || continue
		case $creator in "$pidfile_pid" | 0) attached=$count shm_there=true ;; esac
		break
	done 2>/dev/null </proc/sysvipc/shm
}

# Adds those that are attached to $procs, unless they belong to another data directory.
scan_attached() {
	read_pidfile
	count_attached
	[ "$attached" -gt 0 ] || return 0
	for proc in $(grep -lsE ":[0-9a-f]+ +$shm_id +/SYSV" /proc/[0-9]*/maps); do
		proc=${proc%/maps}
		[ ! -e "$proc/cwd/postmaster.pid" ] || continue
		is_server_process "${proc#/proc/}" && procs="$procs ${proc#/proc/}"
	done
}

# Kills until nobody is left, 5 s at most; counts in $killed and $left.  With
# "seen" it looks at working directories only: the caller comes back for the rest.
kill_server() {
	left=0 attached=0
	now
	kill_until=$((now + 500))
	while :; do
		scan_server
		[ -n "$procs" ] || [ "${1-}" = seen ] || scan_attached
		[ -n "$procs" ] || [ "$attached" -gt 0 ] || return 0
		for pid in $procs; do
			case $killed_pids in
			*" $pid "*) ;;
			*) killed_pids="$killed_pids$pid " killed=$((killed + 1)) ;;
			esac
		done
		[ -z "$procs" ] || kill -KILL $procs 2>/dev/null
		wait_gone
		now
		[ "$now" -lt "$kill_until" ] || break
	done
	for pid in $procs; do
		left=$((left + 1))
	done
	[ "$left" -gt 0 ] || left=$attached
}

# Waits until $procs are gone, a moment only: then the caller looks again.  A
# sleep costs a fork, and most need less time than that.
wait_gone() {
	tries=0
	for pid in $procs; do
		while [ -e "/proc/$pid/cwd" ] && [ $tries -lt 440 ]; do
			tries=$((tries + 1))
			[ $tries -lt 400 ] || sleep 0.001
		done
	done
	[ -n "$procs" ] || sleep 0.01
}

# What a copy or a rewind starts: "setsid setpriv --pdeathsig TERM -- sh -c "$together"
# sh COMMAND...".  If we are killed, the kernel tells this shell, and it ends its
# whole group: pg_basebackup has a second process, which would receive WAL for ever.
together='trap "kill -s KILL -- -$$" TERM; "$@" & wait $!'

# ---- pg_controldata ----------------------------------------------------------

# control_field LABEL: sets $field
control_field() {
	field=
	case $control in
	*"$1"*) ;;
	*) return 0 ;;
	esac
	field=${control#*"$1"}
	trim "${field%%"$nl"*}"
	field=$trimmed
}

# $control_state, $system_identifier, $timeline, $checkpoint_lsn, $redo_lsn of directory $1; empty when unknown.
read_control() {
	control_state= system_identifier= timeline= checkpoint_lsn= redo_lsn=
	for try in 1 2 3; do
		control=$("$bin_directory/pg_controldata" -D "$1" 2>/dev/null) || control=
		case $control in
		*CRC*checksum*stored*) control= ;; # read while it was written
		*) break ;;
		esac
	done
	control_field 'Database system identifier:'
	system_identifier=$field
	control_field 'Database cluster state:'
	control_state=$field
	control_field "Latest checkpoint's TimeLineID:"
	timeline=$field
	control_field 'Latest checkpoint location:'
	checkpoint_lsn=$field
	control_field "Latest checkpoint's REDO location:"
	redo_lsn=$field
}

# ---- the node state file -----------------------------------------------------

# state_value KEY LINE: sets $value; the file is bad when the line has another key
state_value() {
	case $2 in
	"$1 "?*) value=${2#"$1 "} ;;
	*) state_file=bad ;;
	esac
}

# Reads regent.state of directory $1 into $st_*; $state_file is ok, missing or bad.
read_state() {
	state_file=missing st_promise_term=0 st_promise_uuid=- highest=0
	st_node= st_system_identifier= st_promise= st_watchdog=- st_rule= st_previous_rule=
	st_pending_rule= st_followed= st_promoting= st_unopened=
	[ -e "$1/regent.state" ] || return 0
	state_file=ok line_no=0 content= st_sum= value=
	while IFS= read -r line; do
		line_no=$((line_no + 1))
		case $line_no in
		1) [ "$line" = 'pg_regent node state 1' ] || state_file=bad ;;
		2) state_value node "$line" && st_node=$value ;;
		3) state_value system_identifier "$line" && st_system_identifier=$value ;;
		4) state_value promise "$line" && st_promise=$value ;;
		5) state_value watchdog "$line" && st_watchdog=$value ;;
		6) state_value rule "$line" && st_rule=$value ;;
		7) state_value previous_rule "$line" && st_previous_rule=$value ;;
		8) state_value pending_rule "$line" && st_pending_rule=$value ;;
		9) state_value followed "$line" && st_followed=$value ;;
		10) state_value promoting "$line" && st_promoting=$value ;;
		11) state_value unopened "$line" && st_unopened=$value ;;
		12) state_value checksum "$line" && st_sum=$value ;;
		*) state_file=bad ;;
		esac
		[ $state_file = ok ] || return 0
		[ $line_no -gt 11 ] || content="$content$line$nl"
	done 2>/dev/null <"$1/regent.state"
	[ -n "$st_sum" ] && state_sum && [ "$st_sum" = "$sum" ] || {
		state_file=bad
		return 0
	}
	st_promise_uuid=${st_promise#* }
	st_promise_term=${st_promise%% *}
	case $st_promise_term in
	-) st_promise_term=0 ;;
	*[!0-9]*) state_file=bad st_promise_term=0 ;;
	esac
	highest=$st_promise_term
	for rule in "$st_rule" "$st_pending_rule"; do
		rule_term "$rule"
		[ "$highest" -ge "$rule_term" ] || highest=$rule_term
	done
}

# cksum of $content, whose last line ends with a newline
state_sum() {
	sum=$(
		cksum <<EOF
${content%"$nl"}
EOF
	)
	sum=${sum%% *}
}

# $rule_term of a rule in JSON; a quote inside of a string is escaped, so the key is found only as a key.
rule_term() {
	rule_term=0
	case $1 in
	*'"term":'*) ;;
	*) return 0 ;;
	esac
	rule_term=${1#*\"term\":}
	rule_term=${rule_term#"${rule_term%%[! ]*}"}
	rule_term=${rule_term%%[!0-9]*}
	[ -n "$rule_term" ] && [ ${#rule_term} -le 18 ] || rule_term=999999999999999999
}

# The text of the file in $content, with its checksum
compose_state() {
	content="pg_regent node state 1
node $st_node
system_identifier $st_system_identifier
promise $st_promise
watchdog $st_watchdog
rule $st_rule
previous_rule $st_previous_rule
pending_rule $st_pending_rule
followed $st_followed
promoting $st_promoting
unopened $st_unopened
"
	state_sum
	content="${content}checksum $sum$nl"
}

# raise_promise TERM: keeps the watchdog that the node obeys
raise_promise() {
	promise_uuid=${st_watchdog%% *}
	[ "$promise_uuid" != - ] || promise_uuid=$st_promise_uuid
	st_promise="$1 $promise_uuid"
	st_promise_term=$1
}

check_state_node() {
	[ $state_file != ok ] || [ "$st_node" = "$node" ] ||
		fail wrong_node "$real belongs to node $st_node" "correct data_directory of [$node] in $config"
}

# A newer rule than the one under which this verb was sent is a newer decision.
check_job_rule() {
	[ -n "$job" ] && [ $state_file = ok ] || return 0
	rule_term "$st_rule"
	rule_seq=${st_rule#*\"seq\":}
	rule_seq=${rule_seq#"${rule_seq%%[! ]*}"}
	rule_seq=${rule_seq%%[!0-9]*}
	[ "$rule_term" -lt "$job_term" ] || { [ "$rule_term" = "$job_term" ] && [ "${rule_seq:-0}" -le "$job_seq" ]; } ||
		fail outdated "this verb was sent under rule $job_term.$job_seq, and $node holds rule $rule_term.${rule_seq:-0} already" 'nothing to do: a newer decision is in force'
}

# check_term TERM: refused below what this node has promised or holds, and far above it
check_term() {
	check_state_node
	[ $state_file = ok ] || return 0
	[ "$highest" -le "$1" ] ||
		fail stale_term "term $1 is below $highest, which this node has promised or holds" 'nothing to do: a newer decision is in force'
	[ "$1" -le $((highest + 1000)) ] ||
		fail term_too_high "term $1 is more than 1000 above $highest, the highest that this node knows" 'see whether the watchdog belongs to this cluster'
}

# ---- files, durably ----------------------------------------------------------

# replace_file NAME CONTENT: by rename.  $sync_files collects what must be synced
# before, $renames what is renamed then.  On a full disk, a common reason why a
# primary has died, the old blocks are overwritten: if a crash tears the state
# file it is bad and the node closed, which is as safe as a promise.
replace_file() {
	if { printf '%s' "$2" >"$1.regent-tmp"; } 2>/dev/null; then
		sync_files="$sync_files $1.regent-tmp"
		renames="$renames $1"
	else
		rm -f "$1.regent-tmp"
		[ -e "$1" ] && { printf '%s' "$2" 1<>"$1"; } 2>/dev/null && truncate -s ${#2} "$1" ||
			fail no_space "can't write $real/$1" "free some space in $real, or see why it can't be written"
		sync_files="$sync_files $1"
	fi
}

# Syncs and renames what replace_file has prepared.
finish_files() {
	[ -n "$sync_files" ] || return 0
	sync $sync_files || fail not_synced "can't sync$sync_files in $real" 'see the kernel log for errors of the disk'
	for file in $renames; do
		mv -fT "$file.regent-tmp" "$file" || fail not_written "can't replace $real/$file" 'see the permissions there'
	done
	sync . || fail not_synced "can't sync $real" 'see the kernel log for errors of the disk'
	sync_files= renames=
}

# sync_tree PATH...: the files and directories in it; the whole file system may have much more to write
sync_tree() {
	find "$@" \( -type f -o -type d \) -exec sync -- {} + || fail not_synced "can't sync $1" 'see the kernel log for errors of the disk'
}

# filter_auto_conf NAMES LINES: postgresql.auto.conf without the settings NAMES,
# then LINES (the last one wins), in $auto_conf; $auto_conf_changed says whether
# it differs.
filter_auto_conf() {
	auto_conf= before=
	if [ -e postgresql.auto.conf ]; then
		while IFS= read -r line || [ -n "$line" ]; do
			before="$before$line$nl"
			trim "${line%%=*}"
			case " $1 " in
			*" $trimmed "*) ;;
			*) auto_conf="$auto_conf$line$nl" ;;
			esac
		done <postgresql.auto.conf
	fi
	auto_conf="$auto_conf$2$nl"
	auto_conf_changed=true
	[ "$auto_conf" != "$before" ] || auto_conf_changed=false
}

recovery_names='recovery_target recovery_target_name recovery_target_time recovery_target_xid recovery_target_lsn recovery_target_inclusive recovery_target_timeline recovery_target_action recovery_end_command promote_trigger_file'

# The lines that keep a standby from promoting itself, wherever else these settings stand.
standby_lines() {
	standby_lines="recovery_target_action = 'pause'"
	read -r major <PG_VERSION
	case $major in
	12 | 13 | 14 | 15) standby_lines="$standby_lines${nl}promote_trigger_file = ''" ;;
	esac
}
