#
# regent-node-copy.sh
#	  Rebuilding a node: copy, swap, settle, unswap, discard.  Sourced by
#	  regent-node.
#
# Beside DIRECTORY there may be
#	DIRECTORY.regent-new       the copy, or what is left of one
#	DIRECTORY.regent-copy      the mark that the copy is complete, until "settle"; it names its inode
#	DIRECTORY.regent-copy-log  what pg_basebackup says, while it runs
#	DIRECTORY.regent-places    what the copy has filled elsewhere: tablespaces, pg_wal
#	DIRECTORY.regent-old       the directory as it was before a swap, until "settle"
#	DIRECTORY.regent-lock      the lock that keeps these verbs apart, and the newest number
#
# A copy writes nothing else.  A swap stops a fenced or a standby server, dresses
# the copy with the node's own settings and promise and exchanges two names; only
# "settle" removes the old directory, and only while a server runs in the new one.
#
# ---- copy --------------------------------------------------------------------

# What must be true of a directory that is going to be exchanged for another.
check_exchangeable() {
	[ ! -L "$data_directory" ] ||
		fail symlink "$data_directory leads to $real" "write the real path as data_directory of [$node] in $config"
	case ${real%/*} in
	'') fail unsafe_directory "$real lies directly under /" 'move the data directory one level down' ;;
	esac
	if mountpoint -q .; then
		fail mount_point "$real is a mount point: it can't be exchanged by renaming" 'move the data directory one level below the mount point'
	fi
	while read -r _ _ _ _ mount _; do
		case $mount in
		"$real"/*) fail mount_point "$mount, below $real, is a mount point" 'rebuild this node by hand' ;;
		esac
	done </proc/self/mountinfo
}

# The same directory must not be a primary that runs, or might: F31 is a true story.
check_not_primary() {
	scan_server
	find_postmaster
	[ -z "$procs" ] || [ -e standby.signal ] || $rewinding ||
		fail is_primary "the server in $real runs as a primary" "see: regent status; fence it first if it is not the leader"
}

# remove_tree PATH: only ever a directory beside ours, with our own ending
remove_tree() {
	case $1 in
	"$real.regent-new" | "$real.regent-old" | "$real.regent-rewind") ;;
	*) fail internal "refused to remove $1" ;;
	esac
	[ -e "$1" ] || [ -L "$1" ] || return 0
	[ ! -L "$1" ] && [ -d "$1" ] && [ -O "$1" ] || fail unsafe_directory "$1 is not a directory of ours" 'look at it and move it away'
	rm -rf --one-file-system -- "$1"
}

# source_psql WORDS STATEMENT: prints what the source answers; WORDS name the database
source_psql() {
	timeout -k 2 15 "$bin_directory/psql" -w -X -A -t -d "$conninfo $1" -c "$2" 2>&1 </dev/null
}

# source_sql STATEMENT: in the database of the extension.  Commits that wait for a standby can take
# all of max_connections, and a copy may be what they wait for; a session of the replication
# protocol takes one of max_wal_senders, by the same line of pg_hba.conf.
source_sql() {
	said=$(source_psql "dbname=$source_database" "$1")
	case $? in
	0) printf '%s\n' "$said" ;;
	2) source_psql "dbname=$source_database replication=database" "$1" || return ;;
	*) printf '%s\n' "$said" && return 1 ;;
	esac
}

# server_setting NAME [WORDS...]: sets $setting as the server would read it
server_setting() {
	setting_name=$1
	shift
	[ -z "$config_file" ] || set -- -c "config_file=$config_file" "$@"
	setting=$(timeout -k 2 10 "$bin_directory/postgres" -D "$real" "$@" -C "$setting_name" 2>/dev/null) || setting=
}

# $source_database: the one that the watchdog uses, too
find_database() {
	server_setting regent.database
	source_database=${setting:-postgres}
	case $source_database in
	*[!A-Za-z0-9_.-]*) source_database=postgres ;;
	esac
}

# The identity of the source and its timeline ($source_now), asked over the replication protocol
check_source_system() {
	conninfo="host=$host port=$source_port user=$user connect_timeout=10 tcp_user_timeout=30000 keepalives_idle=5 keepalives_interval=5 keepalives_count=4 application_name=regent_${verb%-*}_$node"
	[ "$passfile" = - ] || conninfo="$conninfo passfile=$passfile"
	reply=$(source_psql 'dbname=replication replication=true' IDENTIFY_SYSTEM) ||
		fail source "can't ask $host:$source_port as $user: $reply" "see that $user may replicate from this host (pg_hba.conf) and that its password is in $passfile"
	source_now=${reply#*|}
	source_now=${source_now%%|*}
	[ -n "$system_identifier" ] || return 0
	[ "${reply%%|*}" = "$system_identifier" ] ||
		fail other_system "$host:$source_port has system identifier ${reply%%|*}, $real has $system_identifier" 'this is another cluster: correct host and port of the leader, or data_directory'
}

# progress PHASE BYTES TOTAL: a line to the watchdog; $abort when nobody listens any more
progress() {
	printf '{"progress":true,"phase":"%s","bytes":%s,"total":%s}\n' "$1" "$2" "$3" 2>/dev/null || $abort
}

# tell_while PID PHASE [BYTES TOTAL]: a progress line a second while a child of ours works
tell_while() {
	now
	said=$now
	while kill -0 "$1" 2>/dev/null; do
		sleep 0.01
		now
		[ "$now" -ge $((said + 90)) ] || continue
		progress "$2" "${3-0}" "${4-0}"
		said=$now
	done
	wait "$1"
}

# Does syncfs() tell of writes that have failed since?  From Linux 5.8 on.
syncfs_tells() {
	read -r kernel </proc/sys/kernel/osrelease
	kernel_minor=${kernel#*.}
	kernel_minor=${kernel_minor%%[!0-9]*}
	[ "${kernel%%.*}" -gt 5 ] || { [ "${kernel%%.*}" = 5 ] && [ "${kernel_minor:-0}" -ge 8 ]; }
}

# run_sync RUNNER DIRECTORY [PATH...]: RUNNER gets a command that ends when all is on disk that
# was written there and behind the directory's links, and fails when something was not; one
# call for each file system, where that can be relied on.
run_sync() {
	runner=$1
	shift
	set -- "$@" "$1/pg_wal"
	for space in "$1"/pg_tblspc/*; do
		[ ! -d "$space" ] || set -- "$@" "$space"
	done
	if syncfs_tells; then
		"$runner" sync -f -- "$@"
	else
		"$runner" find -H "$@" '(' -type f -o -type d ')' -exec sync -- '{}' +
	fi
}

# Ends what a copy has begun; the old directory was never touched.
copy_stop() {
	trap - EXIT
	trap '' HUP INT TERM PIPE
	[ -z "$copy_pid" ] || {
		kill -s KILL -- "-$copy_pid" 2>/dev/null
		wait "$copy_pid" 2>/dev/null
		copy_pid=
	}
	remove_copied_places
	remove_tree "$new"
	rm -f -- "$marker" "$real.regent-copy-log"
}

copy_abort() {
	copy_stop
	fail aborted 'the channel was closed or the helper was told to stop' 'start the copy again'
}

copy_fail() {
	copy_stop
	fail "$@"
}

# copy_run COMMAND...: in a process group of its own, which dies with this shell
copy_run() {
	printf '' >"$real.regent-copy-log" || fail no_permission "can't write beside $real" "let $(id -un) write in ${real%/*}"
	setsid setpriv --pdeathsig TERM -- sh -c "$together" sh "$@" </dev/null >>"$real.regent-copy-log" 2>&1 &
	copy_pid=$!
}

# copy_start RATE_KB
copy_start() {
	[ "$1" = 0 ] && shift || set -- --max-rate="$1"
	set -f
	IFS=$nl
	# shellcheck disable=SC2086
	set -- "$@" $place_words
	unset IFS
	set +f
	copy_run "$bin_directory/pg_basebackup" "$@" -D "$new" -d "$conninfo" \
		-X stream --checkpoint=fast --no-password --progress --status-interval=1 --no-sync \
		--label="pg_regent copy for $node"
}

# read_progress: sets $bytes, $total, $lines and $spaces from what pg_basebackup or
# pg_rewind has written since
read_progress() {
	while IFS= read -r line <&7; do
		line=$partial$line
		partial=
		lines=$((lines + 1))
		case $line in
		*' kB ('*'%)'*) ;;
		*) continue ;;
		esac
		trim "${line%% kB (*}"
		case $trimmed in
		*[!0-9/]* | *[!0-9] | [!0-9]*) continue ;;
		esac
		bytes=$((${trimmed%/*} * 1024)) total=$((${trimmed#*/} * 1024))
		spaces=${line#*'%), '}
		spaces=${spaces#*/}
	done
	partial=$partial$line
}

check_copy_progress() {
	read_progress
	[ "$total" = 0 ] || phase=copying
	[ "${spaces%% *}" = "$space_count" ] || copy_fail tablespaces "$leader has other tablespaces than it said" "see that $user can log in to database $source_database there, and try again"
}

# Before the first byte: what the source's databases take.  If it doesn't tell,
# the base backup does, as its first word.
ask_size() {
	find_database
	bytes=0
	total=$(source_sql "SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database WHERE has_database_privilege(oid, 'CONNECT')")
	case $total in '' | *[!0-9]*) total=0 ;; esac
}

check_space() {
	! $unchecked || return 0
	disk=$(stat -f -c '%S %a' "${real%/*}") || return 0
	disk=$((${disk% *} * ${disk#* }))
	[ $((total - bytes + 67108864)) -le $disk ] ||
		copy_fail no_space "the copy needs $((total - bytes + 67108864)) bytes more beside $real, $disk are free" 'free some space, or remove the old data directory by hand if it is worth nothing'
}

# Follows pg_basebackup or regent-copy, says at least once a second how far it is, gives up
# after ten minutes without a byte, unless all of them have come and the disk is waited for.
# Looks more often when less than 512 MB are left: its end is near.
copy_follow() {
	phase=checkpoint bytes=0 total=0 lines=0 spaces=$space_count partial=
	now
	said=0 moved=$now last_bytes=-1
	exec 7<"$real.regent-copy-log"
	while kill -0 "$copy_pid" 2>/dev/null; do
		check_copy_progress
		now
		if [ $bytes != $last_bytes ]; then
			moved=$now last_bytes=$bytes
		fi
		[ "$now" -lt $((moved + 60000)) ] || [ $phase = syncing ] || copy_fail stalled "nothing was copied for ten minutes (phase $phase)" "see the log of $leader: checkpoint, max_wal_senders, network"
		if [ "$now" -ge $((said + 90)) ]; then
			progress $phase $bytes $total
			said=$now
			check_space
		fi
		if [ $((total - bytes)) -ge 536870912 ] || [ "$total" = 0 ]; then
			sleep 0.1
		else
			sleep 0.02
		fi
	done
	wait "$copy_pid"
	copy_status=$?
	copy_pid=
	check_copy_progress
	exec 7<&-
}

# pg_basebackup by itself would sync each of its files, one after the other, and say nothing
# meanwhile.  Nothing calls the copy complete before.
sync_copy() {
	run_sync copy_run "$new"
	tell_while "$copy_pid" syncing "$bytes" "$total" || {
		copy_pid=
		copy_fail not_synced "the copy did not come to the disk: $(last_error "$real.regent-copy-log")" 'see the kernel log for errors of the disk'
	}
	copy_pid=
}

# A copy is what it should be: the same system, taken from the leader.
check_copy() {
	own=$system_identifier
	read_control "$new"
	[ -n "$system_identifier" ] && [ -e "$new/PG_VERSION" ] && [ -e "$new/backup_label" ] ||
		copy_fail incomplete "$new is not a complete copy" 'start the copy again'
	[ -z "$own" ] || [ "$own" = "$system_identifier" ] ||
		copy_fail other_system "the copy has system identifier $system_identifier, not $own" 'correct host and port of the leader'
	read_state "$new"
	[ $state_file = ok ] ||
		copy_fail state_file "the node state file of the copy is $state_file" "see that pg_regent runs on $leader"
	[ "$st_node" = "$leader" ] ||
		copy_fail wrong_source "$host:$source_port is node $st_node, not $leader" 'correct host and port in regent.conf'
}

# Everything up to the first byte; copy and delta differ only in what they run then.
begin_copy() {
	term=$1
	shift
	check_source "$@"
	open_own_directory
	check_exchangeable
	lock_siblings
	read_state "$own_state"
	check_term "$term"
	check_not_primary
	[ ! -e "$old" ] || fail unsettled "$old is still there from an earlier swap" "regent-node $node settle, or unswap"
	read_control "$own_state"
	find_catalog_directory
	check_source_system
	copy_pid= unchecked=false
	remove_copied_places
	remove_tree "$new"
	rm -f -- "$marker"
}

# From here on the copy is removed when it does not become whole.
watch_copy() {
	cd /
	abort=copy_abort
	trap copy_abort HUP INT TERM PIPE
	trap copy_stop EXIT
}

# What was copied is looked at, marked as complete, and answered.
complete_copy() {
	check_copy
	inode=$(stat -c '%d:%i' "$new")
	note_start
	# Beside, not inside: a base backup of a directory would take the mark along.
	printf '%s\n' 'pg_regent copy 1' "inode $inode" "term $term" "leader $leader" "start $server_start" >"$marker" ||
		copy_fail no_space "can't write $marker" 'free some space'
	sync "$marker" "${real%/*}" || copy_fail not_synced "can't sync $marker" 'see the kernel log for errors of the disk'
	progress copying $bytes $total
	rm -f -- "$real.regent-copy-log"
	trap - EXIT
	trap '' HUP INT TERM PIPE

	copied_system=$system_identifier copied_timeline=$timeline
	keep_before_copy
	begin_answer true
	put_raw bytes $bytes
	put system_identifier "$copied_system"
	put_raw timeline "$copied_timeline"
	put leader "$leader"
	put_diverged
}

# Which start of the server runs in the directory that we are in
find_start() {
	scan_server
	find_postmaster
	server_start=-
	[ $postmaster = absent ] || server_start=$pidfile_pid:$pidfile_start
}

note_start() {
	cd "$real" || copy_fail no_directory "can't enter $real" 'look at it'
	find_start
	cd /
}

verb_copy() {
	rate=${8-0}
	begin_copy "$1" "$2" "$3" "$4" "$5" "$6" "$7"
	ask_size
	plan_places
	note_places
	watch_copy
	check_space
	unchecked=$apart
	copy_start "$rate"
	copy_follow
	[ $copy_status = 0 ] || copy_fail copy_failed "$(last_error "$real.regent-copy-log")" 'see the message; the old directory is as it was'
	sync_copy
	complete_copy
	end_answer
}

# What the old directory has beyond the fork.  A copy is good without it, too.
keep_before_copy() {
	abort=: # the copy is whole, whoever listens
	cd "$real" && open_directory || return 0
	if $rewinding; then
		read_mark || diverged_bytes=
		return 0
	fi
	read_own_wal && read_source_history "$source_now" && find_fork "$source_now" || return 0
	keep_diverged "$term" "$source_now" || kept=
}

# ---- swap and back -----------------------------------------------------------

read_marker() {
	line= inode= copied_term= copied_from= copied_start=
	[ -e "$marker" ] || return 1
	{
		read -r line
		read -r _ inode
		read -r _ copied_term
		read -r _ copied_from
		read -r _ copied_start
	} <"$marker"
}

# is_swapped TERM LEADER: the copy is in its place already, this swap has come so far before.
is_swapped() {
	[ -e "$old" ] && read_marker && [ "$copied_term" = "$1" ] && [ "$copied_from" = "$2" ] && [ "$inode" = "$(stat -c '%d:%i' .)" ]
}

check_marker() {
	read_marker && [ -d "$new" ] && [ ! -L "$new" ] || fail no_copy "there is no complete copy beside $real" "regent-node $node copy ..."
	[ "$copied_from" = "$1" ] || fail no_copy "the copy was taken from $copied_from, not from $1" "regent-node $node discard, then copy"
	[ "$line" = 'pg_regent copy 1' ] && [ "$inode" = "$(stat -c '%d:%i' "$new")" ] ||
		fail no_copy "$new is not the directory that a copy has completed" "regent-node $node discard, then copy"
}

# own_files FROM TO: the node's own settings stay the node's own, which is
# everything at the top that is no data.  A copy's are the leader's.
own_files() {
	from=$1 to=$2
	set --
	for file in "$from"/*.conf "$from"/*.crt "$from"/*.key "$from"/*.crl "$from"/*.pem "$from"/conf.d; do
		[ -e "$file" ] || [ -L "$file" ] || continue
		set -- "$@" "$file"
		file=$to/${file##*/}
		[ ! -e "$file" ] && [ ! -L "$file" ] || rm -rf --one-file-system -- "${file:?}"
	done
	[ $# = 0 ] || cp -a -- "$@" "$to/" || fail not_written "can't copy $* to $to" 'see space and permissions there'
	[ -e "$from/postgresql.auto.conf" ] || printf '' >"$to/postgresql.auto.conf"
}

# take_state TERM FROM: the state that came with the data in FROM, under this
# node's name, with the higher promise (F9).
take_state() {
	own_promise=$st_promise_term own_watchdog=$st_watchdog own_state_file=$state_file
	read_state "$2"
	[ $state_file = ok ] || fail state_file "the node state file of the copy is $state_file" "regent-node $node discard, then copy"
	[ "$highest" -le "$1" ] || fail stale_term "the copy knows term $highest already, above $1" 'nothing to do: a newer decision is in force'
	st_node=$node st_promoting=- st_unopened=-
	if [ "$own_state_file" = ok ]; then
		newer_counter "$own_watchdog"
		[ "$own_promise" -le "$st_promise_term" ] || raise_promise "$own_promise"
	fi
	compose_state
}

# The same watchdog's higher counter
newer_counter() {
	[ "${1% *}" = "${st_watchdog% *}" ] || return 0
	case ${1##* }${st_watchdog##* } in *[!0-9]*) return 0 ;; esac
	[ "${1##* }" -le "${st_watchdog##* }" ] || st_watchdog=$1
}

# find_upstream: primary_conninfo for the source, in $upstream
find_upstream() {
	upstream="host=$host port=$source_port user=$user application_name=$node"
	[ "$passfile" = - ] || upstream="$upstream passfile=$passfile"
}

# The server's own synchronisation of logical slots, from 17 on, asks the source for them in
# a database.  The extension keeps the other settings for it (extension/slotsync.c).
name_database() {
	[ -n "$upstream" ] && [ "$major" -ge 17 ] || return 0
	control=$("$bin_directory/pg_controldata" -D . 2>/dev/null) || control=
	control_field 'wal_level setting:'
	[ "$field" = logical ] || return 0
	[ -n "${source_database-}" ] || find_database
	upstream="$upstream dbname=$source_database"
}

# Makes the directory that we are in a standby of $upstream, with the state in $content;
# a new node has $own_settings, in place of the leader's $own_names.
dress_standby() {
	rm -f regent.state.tmp postmaster.pid postmaster.opts recovery.signal promote
	sync_files= renames=
	replace_file regent.state "$content"
	standby_lines
	name_database
	filter_auto_conf "${own_names-} primary_conninfo primary_slot_name $recovery_names" \
		"${own_settings:+$own_settings$nl}primary_conninfo = '$upstream'${nl}primary_slot_name = '$slot'$nl$standby_lines"
	replace_file postgresql.auto.conf "$auto_conf"
	printf '' >standby.signal
	sync_files="$sync_files standby.signal"
	finish_files
}

# exchange FROM ENDING: DIR gets ENDING, FROM becomes DIR.  One process does both
# renames and takes the first back if the second fails; nothing is ever copied.
exchange() {
	mv --backup=simple --suffix="$2" -T -- "$1" "$real" 2>/dev/null || return 1
	sync "${real%/*}"
}

# Only a primary has one.  The control file alone does not tell: a copy of a
# primary says "in production" until its recovery has begun.
has_walwriter() {
	for pid in $procs; do
		title=
		{ read -r title; } 2>/dev/null <"/proc/$pid/cmdline"
		case $title in
		postgres:*' walwriter'*) return 0 ;;
		esac
	done
	return 1
}

# No server runs in this directory any more, and none may start unseen.
stop_for_exchange() {
	[ -e standby.signal ] || $rewinding || fail not_fenced "$real has no standby.signal: it was a primary and is not fenced" "regent-node $node fence TERM"
	read_control .
	scan_server
	if [ -n "$procs" ]; then
		if [ "$control_state" = 'in production' ] && has_walwriter; then
			fail is_primary "the server in $real runs as a primary" 'see: regent status'
		fi
		stop_server fast 30 || stop_server immediate 10
	fi
	killed=0 killed_pids=' '
	kill_server
	[ "$left" = 0 ] || fail not_dead "$left processes of the server in $real do not die" 'look at them, or restart the host'
	# a pg_ctl that was stopped may keep it as a zombie, and its file goes away with the directory
	find_postmaster
	remove_stale_pidfile
}

# A server that was started after the copy was complete may hold more than the copy
# and what the job knows: somebody has brought the node back meanwhile.
check_same_start() {
	find_start
	[ "$server_start" = - ] || [ "$server_start" = "$copied_start" ] ||
		fail no_copy "the server in $real was started after the copy was complete, and may hold more" "regent-node $node discard, then copy"
}

# lock_for_exchange CHECK: from here on nothing starts in the directory, and nothing
# runs there.  A hung server may hold the lock: then it is stopped first.
lock_for_exchange() {
	lock_node 5 || {
		unlock_node
		$1
		stop_for_exchange
		require_node_lock 5
	}
	[ . -ef "$data_directory" ] || fail busy "$real was exchanged meanwhile" 'try again'
	read_state "$own_state"
	check_job_rule
	[ -z "$term" ] || check_term "$term"
	$1
	stop_for_exchange
}

check_nobody_runs() {
	scan_server
	[ -z "$procs" ] || fail still_running "a server was started in $real while it is locked: the extension is not loaded there" 'the old directory is as it was; stop the server'
}

# The copy is in its place: only its server may be missing.
answer_swapped() {
	rm -f -- "$real.regent-places"
	already=true
	scan_server
	find_postmaster
	if [ $postmaster = absent ]; then
		already=false
		start_server
	fi
	answer_running
}

verb_swap() {
	term=$1
	shift
	check_source "$@"
	open_own_directory
	check_exchangeable
	lock_siblings
	if is_swapped "$term" "$leader"; then
		read_state .
		check_term "$term"
		answer_swapped
		return
	fi
	[ ! -e "$old" ] || fail unsettled "$old is still there from an earlier swap" "regent-node $node settle, or unswap"
	check_marker "$leader"
	read_control "$new"
	copied=$system_identifier
	read_control "$own_state"
	[ -z "$system_identifier" ] || [ "$system_identifier" = "$copied" ] ||
		fail other_system "$new has system identifier $copied, $real has $system_identifier" "regent-node $node discard"
	read_state "$own_state"
	check_term "$term"
	trap '' HUP INT PIPE # half an exchange helps nobody
	lock_for_exchange check_same_start
	if $rewinding; then
		own_files "$store/own" "$new"
	else
		own_files . "$new"
	fi
	take_state "$term" "$new"
	find_upstream
	cd "$new" || fail no_copy "can't enter $new" 'discard and copy again'
	dress_standby
	sync -f . || fail not_synced "can't sync $new" 'see the kernel log for errors of the disk'
	cd "$real" || fail no_directory "can't enter $real" 'look at it'
	check_nobody_runs
	exchange "$new" .regent-old || fail not_swapped "can't exchange $real and $new" 'the old directory is as it was; see the permissions beside it'
	unlock_node
	rm -f -- "$real.regent-places"
	open_own_directory
	kill_server # of the directory that is old now: somebody may have started it meanwhile
	trap - HUP INT PIPE
	whole=true
	start_server
	already=false
	answer_running
}

# A server that was killed leaves a shared memory segment, which only a start in
# its own directory would find again.
remove_segment() {
	cd "$old" || fail no_directory "can't enter $old" 'look at it'
	read_pidfile
	count_attached
	! $shm_there || [ "$attached" != 0 ] || ipcrm -m "$shm_id" 2>/dev/null
	cd "$real" || fail no_directory "can't enter $real" 'look at it'
}

verb_settle() {
	open_own_directory
	lock_siblings
	removed=false
	if [ -e "$old" ]; then
		scan_server
		find_postmaster
		[ $postmaster = alive ] || fail not_running "no server runs in $real: $old may still be needed" "start it, or regent-node $node unswap"
		for pid in $procs; do
			[ ! "/proc/$pid/cwd" -ef "$old" ] || fail still_running "a server runs in $old" 'stop it'
		done
		remove_segment
		# from here on nobody takes what is left of it for a whole directory
		rm -f -- "$old/PG_VERSION"
		sync "$old"
		read_control .
		find_catalog_directory
		remove_places "$old" "$real"
		[ ! -e "$old/$rewind_mark" ] || remove_tree "$store"
		remove_tree "$old" || fail not_removed "can't remove all of $old" 'see what is left there'
		rm -f -- "$marker"
		removed=true
	fi
	begin_answer true
	put_raw removed $removed
	end_answer
}

# The promise that was made meanwhile stays made in the directory that comes back.
keep_promise() {
	read_state "$own_state"
	[ $state_file = ok ] || return 0
	newer=$st_promise_term
	old_state=$old
	[ ! -e "$old/$rewind_mark" ] || old_state=$store
	read_state "$old_state"
	[ $state_file = ok ] && [ "$newer" -gt "$st_promise_term" ] || return 0
	raise_promise "$newer"
	compose_state
	cd "$old_state" || fail no_directory "can't enter $old_state" 'look at it'
	sync_files= renames=
	replace_file regent.state "$content"
	finish_files
	cd "$real" || fail no_directory "can't enter $real" 'look at it'
}

verb_unswap() {
	open_own_directory
	check_exchangeable
	lock_siblings
	restored=false
	if [ -e "$old" ]; then
		[ -e "$old/PG_VERSION" ] || fail not_a_data_directory "$old is not a data directory" 'look at it'
		trap '' HUP INT PIPE
		term=
		lock_for_exchange :
		find_catalog_directory
		remove_copied_places
		remove_tree "$new"
		keep_promise
		check_nobody_runs
		exchange "$old" .regent-new || fail not_swapped "can't exchange $real and $old" 'see the permissions beside them'
		unlock_node
		restored=true
	fi
	rm -f -- "$marker"
	if $restored; then
		remove_places "$new" "$real"
		remove_tree "$new"
	fi
	begin_answer true
	put_raw restored $restored
	end_answer
}

verb_discard() {
	open_own_directory
	lock_siblings
	removed=false
	[ ! -e "$new" ] || removed=true
	rm -f -- "$marker" "$real.regent-copy-log"
	read_control "$own_state"
	find_catalog_directory
	remove_copied_places
	remove_tree "$new" || fail not_removed "can't remove all of $new" 'see what is left there'
	begin_answer true
	put_raw removed $removed
	end_answer
}
