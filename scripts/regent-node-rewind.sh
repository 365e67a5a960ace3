#
# regent-node-rewind.sh
#	  Bringing a diverged directory back by pg_rewind, in place.  Sourced by
#	  regent-node.
#
# Everything that can be known is looked at first, and where it does not fit the
# answer is not_possible and nothing was touched.  Then, in this order:
#
# 1. The server is stopped, and started again if it is not rewound after all.  If the
#    control file does not say "shut down", where its WAL ends is read from that, or
#    it is recovered first (regent-node-recovery.sh).
# 2. What pg_rewind would destroy is put into DIRECTORY.regent-rewind: the
#    node's settings and state, the control file, all WAL from the last common
#    checkpoint on.  The WAL beyond the fork is kept (regent-node-wal.sh).
# 3. regent.rewinding: from here on neither this helper nor the server starts
#    anything there, and pg_rewind runs.  If it refuses before it writes, the mark goes.
# 4. The directory gets its own settings and state back, becomes a standby of the
#    source, loses the mark and is started.
#
# If it ends in the middle, a repeat puts control file and WAL back and runs
# pg_rewind again.  That is right only while the source is on the same timeline:
# files that were copied whole may hold what another history never had.
#
# ---- the source --------------------------------------------------------------

# What a rewind asks of its source, in one row.
source_facts="SELECT pg_is_in_recovery(), current_setting('server_version_num')::int / 10000, current_setting('full_page_writes'),
 (SELECT timeline_id FROM pg_control_checkpoint()),
 (SELECT bool_and(has_function_privilege(f.oid, 'EXECUTE')) FROM pg_proc f WHERE f.pronamespace = 'pg_catalog'::regnamespace
  AND f.oid::regprocedure::text IN ('pg_ls_dir(text,boolean,boolean)', 'pg_stat_file(text,boolean)',
   'pg_read_binary_file(text)', 'pg_read_binary_file(text,bigint,bigint,boolean)')),
 (SELECT string_agg(oid::text, ' ') FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global'))"

# ... and whether it hides WAL that is not needed, its size, its timeline's history and its
# state file.
find_source_more() {
	hex8 "$source_now"
	source_more="current_setting('regent.rewind_wal_from', true) IS NOT NULL AND coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace
  WHERE nspname = 'regent') AND has_function_privilege(to_regprocedure('regent.rewind_ls_dir(text,boolean,boolean)'), 'EXECUTE'), false),
 (SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database WHERE has_database_privilege(oid, 'CONNECT')) +
 (SELECT count(*) FROM pg_ls_dir('pg_wal', true, false) AS name WHERE name ~ '^[0-9A-F]{24}$') * pg_size_bytes(current_setting('wal_segment_size')),
 translate(convert_from(pg_read_binary_file('pg_wal/$hex.history', 0, 1000000, true), 'UTF8'), '|', '/'),
 convert_from(pg_read_binary_file('regent.state'), 'UTF8')"
}

cannot() {
	fail not_possible "$1" "${2:-regent rebuild $node: a copy needs none of this}"
}

# read_facts: sets $source_recovers, $source_major, $source_pages,
# $source_checkpoint_timeline, $source_grants, $source_tablespaces.  False: $reply says why.
read_facts() {
	reply=$(source_psql "dbname=$source_database" "$source_facts") || return 1
	take_facts
}

take_facts() {
	source_recovers=${reply%%|*} facts_rest=${reply#*|}
	source_major=${facts_rest%%|*} facts_rest=${facts_rest#*|}
	source_pages=${facts_rest%%|*} facts_rest=${facts_rest#*|}
	source_checkpoint_timeline=${facts_rest%%|*} facts_rest=${facts_rest#*|}
	source_grants=${facts_rest%%|*} source_tablespaces=${facts_rest#*|}
}

# pg_rewind needs an ordinary session, and none could be had: $reply.  If a session that takes one
# of max_wal_senders is let in by the same line of pg_hba.conf, then for want of a connection: it is
# waited for, a little longer each time, about six seconds in all.
login_pause=1
wait_for_connection() {
	refused=$reply
	reply=$(source_psql "dbname=$source_database replication=database" "SELECT 'max_connections is ' || current_setting('max_connections') ||
 ', of which ' || current_setting('superuser_reserved_connections') || ' are for superusers'") ||
		cannot "$user can't log in to database $source_database of $leader ($host:$source_port): $refused" "pg_hba.conf of every node: host $source_database $user ADDRESS-OF-THE-NODES scram-sha-256"
	[ $login_pause -le 32 ] ||
		cannot "$leader ($host:$source_port) has no connection left for $user, and a rewind needs one: $refused ($reply)" "leave some to it: ALTER ROLE of the application's users CONNECTION LIMIT, or a greater max_connections"
	sleep "$((login_pause / 10)).$((login_pause % 10))"
	login_pause=$((login_pause * 2))
}

# What pg_rewind has to be able to do there.
check_source_rights() {
	until read_facts; do
		wait_for_connection
	done
	[ "$source_grants" = t ] ||
		cannot "$user may not execute the functions that pg_rewind needs on $leader" 'regent init'
}

# reach LEADER HOST PORT USER PASSFILE|- SLOT: may this node replicate from there, and rewind?
verb_reach() {
	check_source "$@"
	open_directory
	read_control "$own_state"
	check_source_system
	find_database
	check_source_rights
	begin_answer true
	put database "$source_database"
	put_raw timeline "$source_now"
	end_answer
}

# All in one question; where it can't be answered, one by one for the reason.
ask_source() {
	find_database
	find_source_more
	reply=$(source_psql "dbname=$source_database" "$source_facts, $source_more") || {
		check_source_rights
		check_recovers
		reply=$(source_psql "dbname=$source_database" "$source_facts, $source_more") ||
			cannot "regent.state of $leader can't be read: $reply" "see that pg_regent runs on $leader"
	}
	take_facts
	source_state=${source_tablespaces#*|} source_tablespaces=${source_tablespaces%%|*}
	source_hides=${source_state%%|*} source_state=${source_state#*|}
	source_size=${source_state%%|*} source_state=${source_state#*|}
	told_history=${source_state%%|*}
}

check_recovers() {
	[ "$source_recovers" = f ] || cannot "$leader is in recovery" 'wait until it is promoted'
}

check_source_server() {
	ask_source
	read -r major <PG_VERSION
	[ "$source_major" = "$major" ] || cannot "$leader runs PostgreSQL $source_major, $real is of $major"
	check_recovers
	[ "$source_pages" = on ] || cannot "full_page_writes is off on $leader" 'set it to on there and reload'
	for space in $source_tablespaces; do
		[ -e "pg_tblspc/$space" ] || cannot "tablespace $space of $leader is not here: it is newer than the fork"
	done
}

# The source's state file comes with the data.
check_source_state() {
	source_node=${source_state#*"${nl}node "}
	[ "${source_node%%"$nl"*}" = "$leader" ] ||
		fail wrong_source "$host:$source_port is node ${source_node%%"$nl"*}, not $leader" 'correct host and port in regent.conf'
}

# pg_rewind 15 compares the timelines of the checkpoints, and a promoted server's
# first one may be minutes away.  A base backup begins with a fast one; its first
# byte is enough.
source_checkpoint() {
	[ "$source_checkpoint_timeline" != "$source_now" ] || return 0
	run_watched recovery 330 sh -c 'timeout 300 "$@" | head -c 1 >/dev/null' sh "$bin_directory/pg_basebackup" -w -X none -c fast -F tar -D - -d "$conninfo"
	read_facts && [ "$source_checkpoint_timeline" = "$source_now" ] ||
		cannot "$leader has not made a checkpoint on timeline $source_now yet" 'CHECKPOINT there, then again'
}

# ---- what runs meanwhile -----------------------------------------------------

rewind_stop() {
	trap - EXIT
	trap '' HUP INT TERM PIPE
	if [ -n "$child" ]; then
		kill -s KILL -- "-$child" 2>/dev/null
		wait "$child" 2>/dev/null
		child=
	fi
	stop_listing
	[ -z "$end_pid" ] || kill -s TERM "$end_pid" 2>/dev/null # timeout passes it on
	for pid in $same_pid $part_pid; do
		kill -s KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	same_pid= part_pid= end_pid=
	$rewinding || {
		forget_fetched
		remove_tree "$store"
		# it shares files with the directory, which goes on using them
		[ -z "$kept_first" ] || rm -rf --one-file-system -- "$kept_first"
	}
	rm -f -- .s.PGSQL.* "$real.regent-rewind-log" "$real.regent-rewind-same" "$real.regent-rewind-end"
	start_again
}

# Before it is stopped: does a standby run, which can go on if it is not rewound after all?
note_running() {
	scan_server
	find_postmaster
	read_fenced
	ran=false was_fenced=$fenced
	[ $postmaster != alive ] || ran=true
}

# It serves as before, unless it was fenced meanwhile.
start_again() {
	${ran-false} && ! $rewinding || return 0
	ran=false
	read_state .
	read_fenced
	[ $state_file != ok ] || [ "$highest" -le "$term" ] && [ "$fenced" = "$was_fenced" ] || return 0
	trap - HUP INT TERM PIPE
	(start_server) >/dev/null 2>&1 || :
}

give_up() {
	rewind_stop
	fail "$@"
}

# What fail says between the mark's coming and its going.
fail_half() {
	middle=
	fail half_rewound "$2 ($1)" "the same command again goes on; or give the node a copy: regent rebuild $node --method copy"
}

rewind_abort() {
	give_up aborted 'the channel was closed or the helper was told to stop' 'the same command again'
}

# While pg_rewind copies, the server's settings in the directory may be empty, and
# then the extension is not there to refuse.  So the control file is made
# unreadable for the server: pg_rewind has read it when it tells where the
# servers diverged, and writes all of it at its very end.  It is stopped meanwhile,
# and ended if that is not where the histories say.
hide_control() {
	rewind_pid=
	{ read -r rewind_pid _ <"/proc/$child/task/$child/children"; } 2>/dev/null # no newline ends it
	[ -n "$rewind_pid" ] || return 0
	kill -s STOP -- "-$child"
	now
	hide_until=$((now + 500)) stat_state=
	while [ "$stat_state" != T ] && [ "$now" -lt $hide_until ]; do
		read_stat "$rewind_pid"
		now
	done
	reply=$(cat "$log")
	case $stat_state:$reply in
	*'updating control file'*) ;;
	T:*"diverged at WAL location $fork_text on timeline $fork_timeline" | T:*"diverged at WAL location $fork_text on timeline $fork_timeline$nl"*)
		dd if=/dev/zero of=global/pg_control bs=8192 count=1 conv=notrunc,fsync 2>/dev/null
		hidden=true
		;;
	T:*'servers diverged at '*' on timeline '[0-9]*) kill -s KILL -- "-$child" ;;
	esac
	kill -s CONT -- "-$child"
}

# run_watched PHASE SECONDS COMMAND...: in a process group of its own, which dies
# with this shell; its messages go to $log.  A progress line a second; killed when
# neither its bytes nor its messages grow for SECONDS.  Sets $status.
run_watched() {
	phase=$1 patience=$(($2 * 100)) hidden=true
	[ "$phase" != rewind ] || hidden=false
	shift 2
	bytes=0 total=0 lines=0 spaces= partial=
	: >"$log" || give_up no_space "can't write $log" 'free some space'
	setsid setpriv --pdeathsig TERM -- sh -c "$together" sh "$@" </dev/null >>"$log" 2>&1 8>&- 9>&- &
	child=$!
	exec 7<"$log"
	now
	said=0 moved=$now seen=0
	while kill -0 "$child" 2>/dev/null; do
		read_progress
		now
		if [ "$seen" != $lines ]; then
			moved=$now seen=$lines
		fi
		$hidden || [ $lines = 0 ] || hide_control
		[ "$now" -lt $((moved + patience)) ] || give_up stalled "phase $phase did not move for $((patience / 100)) s" "see the log of $leader, and the network"
		if [ "$now" -ge $((said + 90)) ]; then
			progress "$phase" "$bytes" "$total"
			said=$now
		fi
		if $hidden || [ "$now" -gt $((moved + 200)) ]; then sleep 0.01; fi
	done
	wait "$child"
	status=$?
	child=
	read_progress
	exec 7<&-
}

# ---- what must be true -------------------------------------------------------

check_rewindable() {
	[ -x "$bin_directory/pg_rewind" ] || cannot "$bin_directory has no pg_rewind" "install the server's package"
	reply=$("$bin_directory/pg_rewind" --version)
	reply=${reply##* }
	[ "${reply%%[!0-9]*}" = "$major" ] || cannot "pg_rewind is of version $reply, $real of $major" "correct bin_directory of [$node] in $config"
	read_own_wal || cannot "the timelines of $real can't be read: pg_controldata, or the history file of timeline ${own_timeline:-?}, is not there"
	control_field 'wal_log_hints setting:'
	hints=$field
	control_field 'Data page checksum version:'
	[ "$hints" = on ] || [ "${field:-0}" != 0 ] ||
		cannot "neither wal_log_hints nor data checksums are on in $real" 'for the next time: wal_log_hints = on in postgresql.conf of every node'
	[ "$own_timeline" != "$source_now" ] ||
		cannot "both are on timeline $own_timeline: pg_rewind would say that no rewind is required, whatever differs"
	read_source_history "$source_now" || cannot "$leader does not tell the history of timeline $source_now: $reply"
	find_fork "$source_now" || cannot "the histories of $node and $leader have nothing in common"
	[ "$fork" != $goes_on ] || cannot "$node did not leave the history of $leader: it can follow as it is"
	lsn_text "$fork"
	fork_text=$lsn
}

# Before the server is stopped or recovered.
check_wal() {
	find_checkpoint ||
		cannot "WAL segment $segment is needed back to the last checkpoint before $fork_text, and neither pg_wal nor restore_command has it" 'for the next time: wal_keep_size, or an archive with restore_command'
	need_all_segments ||
		cannot "WAL segment $segment between the fork at $fork_text and the end is needed, and neither pg_wal nor restore_command has it" 'for the next time: wal_keep_size, or an archive with restore_command'
}

# pg_rewind finds the fork by the numbers of timelines alone.  A leader that came up
# from an older disk has written WAL of its own under the same numbers: it would keep
# rows that the source never had.  So the WAL before the fork is compared, byte by
# byte, as far back as both have it; the segment of the fork has to be there.
check_same_wal() {
	compared=0 segment_number=$(((fork - 1) / segment_size))
	while [ $segment_number -ge "$first_segment" ] || [ $compared -lt 65536 ]; do
		part=$((fork - segment_number * segment_size))
		[ $part -le "$segment_size" ] || part=$segment_size
		segment_name $segment_number
		[ -e "pg_wal/$segment" ] || break
		mine=$(head -c $part "pg_wal/$segment" | sha256sum)
		source_hash "${segment#????????}" $part || cannot "the WAL of $leader can't be read: $theirs" 'regent init'
		[ -n "$theirs" ] || break
		[ "$theirs" = "${mine%% *}" ] ||
			cannot "$node and $leader have different WAL before the fork at $fork_text (segment $segment): one of them was an older copy once"
		compared=$((compared + part)) segment_number=$((segment_number - 1))
	done
	[ $compared -ge 65536 ] ||
		cannot "$leader has not enough WAL from before the fork at $fork_text any more to show that it is the same" 'for the next time: wal_keep_size'
}

# Which of our segments the source has, too, under the same name.
find_shared() {
	hex8 "$own_timeline"
	reply=$(source_sql "SELECT string_agg(name, ' ') FROM pg_ls_dir('pg_wal', true, false) AS name
 WHERE name ~ '^[0-9A-F]{24}$' AND left(name, 8) COLLATE \"C\" <= '$hex'") ||
		cannot "the WAL of $leader can't be listed: $reply" 'regent init'
	printf '%s\n' "$reply"
}

# source_hash NAME BYTES: the segment without its timeline; sets $theirs, empty when it
# is not there under the number of any timeline of the source
source_hash() {
	names=
	for entry in $source_history "$source_now:"; do
		hex8 "${entry%%:*}"
		names="$names,$hex$1"
	done
	theirs=$(source_sql "SELECT encode(sha256(part), 'hex')
 FROM (SELECT pg_read_binary_file('pg_wal/' || name, 0, $2, true) AS part, n FROM unnest('{${names#,}}'::text[]) WITH ORDINALITY AS u (name, n)) AS s
 WHERE length(part) = $2 ORDER BY n DESC LIMIT 1")
}

# Beside what else is looked at meanwhile.
start_same_wal() {
	(
		trap - EXIT
		check_same_wal
		find_shared
	) >"$real.regent-rewind-same" 2>/dev/null 8>&- &
	same_pid=$!
}
same_pid=

# What it has said is the answer, or $shared.
end_same_wal() {
	[ -n "$same_pid" ] || return 0
	tell_while "$same_pid" recovery || {
		same_pid=
		reply=$(cat "$real.regent-rewind-same")
		rewind_stop
		printf '%s\n' "$reply"
		exit 1
	}
	same_pid= shared=" $(cat "$real.regent-rewind-same") "
	rm -f -- "$real.regent-rewind-same"
}

# pg_rewind, which by itself would sync every file of the directory, changed or not.
# Its question for the source's files looks expensive to the planner: to compile it
# would take longer than all the rest.
#
# There is no dry run before.  It looks at all that it can know before it says what
# it needs to copy and writes its first byte; what it refuses until then has
# changed nothing.
#
# The source does not show it the WAL that is not needed (extension/rewind_list.c).
run_rewind() {
	set -- -cjit=off
	[ "$source_hides" != t ] || set -- "$@" "-cregent.rewind_wal_from=$wal_from"
	for pause in 0.2 0.4 0.8 1.6 3.2 0; do
		run_watched rewind 1200 "$bin_directory/pg_rewind" --target-pgdata="$real" --source-server="$conninfo dbname=$source_database options='$*'" \
			--no-ensure-shutdown --no-sync --progress
		reply=$(cat "$log")
		# the connection that was free a moment ago may be taken
		case $reply in *'connected to server'*) break ;; esac
		sleep $pause
	done
	case $status:$reply in
	0:*'need to copy'*) return 0 ;;
	0:*) take_back not_possible 'pg_rewind says that no rewind is required' ;;
	*'need to copy'*) ;;
	*'error:'*) take_back not_possible "pg_rewind: $(last_error "$log")" ;;
	*'servers diverged'*) take_back not_possible "pg_rewind does not see the fork at $fork_text on timeline $fork_timeline that the histories tell" ;;
	esac
	give_up rewind_failed "pg_rewind: $(last_error "$log")" ''
}

# take_back ERROR DETAIL: the first run has changed nothing, so the mark goes.  Not when
# there is a newer promise: a fence has left all else to the end of the rewind.
take_back() {
	require_node_lock 5
	read_state "$store"
	! $repeated && [ $state_file = ok ] && [ "$highest" -le "$term" ] || give_up rewind_failed "$2" ''
	control=$store/global/pg_control
	[ ! -e "$control.own" ] || control=$control.own
	dd if="$control" of=global/pg_control bs=8192 count=1 conv=notrunc,fsync 2>/dev/null &&
		put_wal_back && cp -a -- "$store/regent.state" regent.state.regent-tmp &&
		sync regent.state.regent-tmp && mv -fT regent.state.regent-tmp regent.state && sync . || give_up rewind_failed "$2" ''
	rm -f $rewind_mark
	sync .
	note_rewinding
	middle=
	unlock_node
	give_up "$1" "$2" "regent rebuild $node"
}

# The files that were there, not their copies.
put_wal_back() {
	for file in "$store"/wal/*; do
		name=pg_wal/${file##*/}
		[ "$name" -ef "$file" ] || ln -f -- "$file" "$name" 2>/dev/null ||
			{ cp --remove-destination -- "$file" "$name" && sync "$name"; } || return 1
	done
	sync pg_wal
}

# Of the directory, with what lies elsewhere
find_own_size() {
	own_size=$(du -sbL . 2>/dev/null | {
		read -r size _
		echo "$size"
	})
}

# check_rewind_space: the directory grows to the size of the source at most
check_rewind_space() {
	disk=$(stat -f -c '%S %a' .) || return 0
	disk=$((${disk% *} * ${disk#* }))
	needed=$((source_size - own_size + 2 * segment_size * (last_segment - first_segment + 1) + 67108864))
	[ $needed -le $disk ] || give_up no_space "a rewind needs up to $needed bytes more in $real, $disk are free" 'free some space'
}

# ---- the end of it -----------------------------------------------------------

# The leader archives its own WAL; as a later leader this node must not do it again.
settle_archive() {
	for ready in pg_wal/archive_status/*.ready; do
		[ ! -e "$ready" ] || mv -fT "$ready" "${ready%.ready}.done"
	done
}

# The source's settings go, ours come back.
put_own_files() {
	set --
	for file in *.conf *.crt *.key *.crl *.pem conf.d; do
		[ ! -e "$file" ] && [ ! -L "$file" ] || set -- "$@" "$file"
	done
	[ $# = 0 ] || rm -rf --one-file-system -- "$@"
	own_files "$store/own" .
}

in_background() {
	"$@" 8>&- &
}

# All that pg_rewind and we have written: pg_rewind by itself opens and syncs every file of
# the directory, changed or not.
sync_rewound() {
	run_sync in_background . ${kept:+"$kept"}
	tell_while $! rewind || give_up not_synced "can't sync $real" 'see the kernel log for errors of the disk'
}

# What is kept must not share a file with what the server uses.
part_kept() {
	[ -n "$kept" ] || return 0
	for file in "$kept"/*; do
		[ ! "pg_wal/${file##*/}" -ef "$file" ] || cp --remove-destination -- "$file" "pg_wal/${file##*/}" ||
			give_up no_space "can't write in $real" 'free some space'
	done
}

# A promise that a fence has made meanwhile keeps the node from following.
dress() {
	require_node_lock 5
	read_state "$store"
	find_upstream
	outdated=false
	if [ $state_file = ok ] && [ "$highest" -gt "$term" ]; then
		outdated=true upstream=
	fi
	newest=$term
	! $outdated || newest=$highest
	take_state "$newest" .
	dress_standby
	rm -f $rewind_mark
	sync .
	note_rewinding
	middle=
	unlock_node
	remove_tree "$store"
	! $outdated || fail stale_term "this node has promised a newer term than $term meanwhile: it was rewound, but follows nobody" 'nothing to do: a newer decision is in force'
}

# A rewind that was begun: may this source end it?
check_repeat() {
	read_mark || fail half_rewound "$real is half rewound, and what is needed to go on is not in $store" "regent rebuild $node --method copy"
	[ "$mark_timeline" = "$source_now" ] ||
		fail half_rewound "$real was half rewound from timeline $mark_timeline, and $leader is on timeline $source_now: a repeat can't mend that" "regent rebuild $node --method copy"
	control_field 'Bytes per WAL segment:'
	segment_size=$field saved_wal=$store/wal
}

# The first time: all that comes before the mark.
begin_rewind() {
	[ -e standby.signal ] || fail not_fenced "$real has no standby.signal: it was a primary and is not fenced" "regent-node $node fence TERM"
	remove_tree "$store"
	log=$real.regent-rewind-log
	check_rewindable
	[ -n "$procs" ] || ! can_find_end || search_end
	check_wal
	find_wal_from
	mkdir -p -- "$store/own" "$store/global" "$store/wal" "$store/part" || give_up no_space "can't make $store" "free some space, and let $(id -un) write in ${real%/*}"
	start_same_wal
	source_checkpoint
	note_running
	stop_for_exchange
	find_own_size
	is_clean || find_end || {
		end_same_wal
		recover
	}
	$pretended || find_clean_end || give_up not_possible "pg_controldata fails on $real" 'see its message'
	need_all_segments || give_up not_possible "WAL segment $segment is not there" "regent rebuild $node"
	check_rewind_space
	start_part
	save_beside
	! $pretended || pretend_shut_down || give_up not_possible "the control file of $real can't be prepared" "regent rebuild $node"
	end_same_wal
	progress keep 0 0
	keep_first "$term" "$source_now" || keep_failed
	kept_first=$kept
	set_mark
	rm -f -- "$real.regent-rewind-log" "$real.regent-rewind-end"
	log=$store/log
	part_from_store
	! $pretended || cp -- "$store/global/pg_control" global/pg_control || give_up no_space "can't write in $real" 'free some space'
}
pretended=false kept_first=

verb_rewind() {
	term=$1
	shift
	check_source "$@"
	open_own_directory
	lock_siblings
	# one that had the lock may have ended meanwhile
	note_rewinding
	[ ! -e "$old" ] || fail unsettled "$old is still there from an earlier swap" "regent-node $node settle, or unswap"
	read_state "$own_state"
	check_term "$term"
	check_not_primary
	child= fetched= status=0 bytes=0 log=$store/log repeated=false shared=
	! $rewinding || middle=fail_half
	read_control "$own_state"
	check_source_system
	check_source_server
	check_source_state
	abort=rewind_abort
	trap rewind_abort HUP INT TERM PIPE
	trap rewind_stop EXIT
	if $rewinding; then
		check_repeat
		repeated=true
	else
		begin_rewind
	fi
	! $repeated || put_back
	run_rewind
	restore_common
	part_kept
	put_own_files
	settle_archive
	keep_rest
	sync_rewound
	rewound=$bytes
	trap '' HUP INT PIPE
	trap - EXIT
	progress start 0 0
	dress
	trap - HUP INT PIPE
	whole=true
	start_server
	already=false
	begin_running
	put_raw bytes "$rewound"
	put leader "$leader"
	put_diverged
	end_answer
}
