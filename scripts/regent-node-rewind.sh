#
# regent-node-rewind.sh
#	  Bringing a diverged directory back by pg_rewind, in place.  Sourced by
#	  regent-node.
#
# Everything that can be known is looked at first, and where it does not fit the
# answer is not_possible and nothing was touched.  Then, in this order:
#
# 1. The server is stopped.  If the control file does not say "shut down", it is
#    started once more, as a standby of nobody that listens on a socket within
#    its own directory only, until its WAL is replayed.  It stays a standby all the
#    time, so pg_rewind's own way (single-user mode, which refuses a
#    directory with standby.signal and ends recovery) is not taken.
# 2. What pg_rewind would destroy is put into DIRECTORY.regent-rewind: the
#    node's settings and state, the control file, all WAL from the last common
#    checkpoint on.  The WAL beyond the fork is kept (regent-node-wal.sh).
# 3. regent.rewinding: from here on neither this helper nor the server starts
#    anything there, and pg_rewind runs.
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

cannot() {
	fail not_possible "$1" "${2:-regent rebuild $node: a copy needs none of this}"
}

# read_facts: sets $source_recovers, $source_major, $source_pages,
# $source_checkpoint_timeline, $source_grants, $source_tablespaces.  False: $reply says why.
read_facts() {
	reply=$(source_psql "dbname=$source_database" "$source_facts") || return 1
	source_recovers=${reply%%|*} facts_rest=${reply#*|}
	source_major=${facts_rest%%|*} facts_rest=${facts_rest#*|}
	source_pages=${facts_rest%%|*} facts_rest=${facts_rest#*|}
	source_checkpoint_timeline=${facts_rest%%|*} facts_rest=${facts_rest#*|}
	source_grants=${facts_rest%%|*} source_tablespaces=${facts_rest#*|}
}

# What pg_rewind has to be able to do there.
check_source_rights() {
	find_database
	read_facts ||
		cannot "$user can't log in to database $source_database of $leader ($host:$source_port): $reply" "pg_hba.conf of every node: host $source_database $user ADDRESS-OF-THE-NODES scram-sha-256"
	[ "$source_grants" = t ] ||
		cannot "$user may not execute the functions that pg_rewind needs on $leader" 'regent init'
}

# reach LEADER HOST PORT USER PASSFILE|- SLOT: may this node replicate from there, and rewind?
verb_reach() {
	check_source "$@"
	open_directory
	read_control "$own_state"
	check_source_system
	check_source_rights
	begin_answer true
	put database "$source_database"
	put_raw timeline "$source_now"
	end_answer
}

check_source_server() {
	check_source_rights
	read -r major <PG_VERSION
	[ "$source_major" = "$major" ] || cannot "$leader runs PostgreSQL $source_major, $real is of $major"
	[ "$source_recovers" = f ] || cannot "$leader is in recovery" 'wait until it is promoted'
	[ "$source_pages" = on ] || cannot "full_page_writes is off on $leader" 'set it to on there and reload'
	for space in $source_tablespaces; do
		[ -e "pg_tblspc/$space" ] || cannot "tablespace $space of $leader is not here: it is newer than the fork"
	done
}

# The source's state file comes with the data.
check_source_state() {
	reply=$(source_psql "dbname=$source_database" "SELECT convert_from(pg_read_binary_file('regent.state'), 'UTF8')") ||
		cannot "regent.state of $leader can't be read: $reply" "see that pg_regent runs on $leader"
	source_node=${reply#*"${nl}node "}
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
	[ -z "$saving_pid" ] || {
		kill -s KILL "$saving_pid" 2>/dev/null
		wait "$saving_pid" 2>/dev/null
		saving_pid=
	}
	$rewinding || {
		forget_fetched
		remove_tree "$store"
	}
	rm -f -- .s.PGSQL.* "$real.regent-rewind-log"
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
# servers diverged, and writes all of it at its very end.  It is stopped meanwhile.
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
	T:*'servers diverged'*)
		dd if=/dev/zero of=global/pg_control bs=8192 count=1 conv=notrunc,fsync 2>/dev/null
		hidden=true
		;;
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

# ---- recovery ----------------------------------------------------------------

is_clean() {
	read_control .
	case $control_state in
	'shut down' | 'shut down in recovery') return 0 ;;
	esac
	return 1
}

# All local WAL is replayed: it reads "in archive recovery" after a crash of a
# primary, and takes sessions after one of a standby.
has_recovered() {
	read_pidfile
	[ "$pidfile_pid" = "$child" ] || return 1 # still the killed server's, which may say "ready"
	read_status
	[ "$status" != ready ] || return 0
	[ "$began" != 'in archive recovery' ] || return 1
	read_control .
	[ "$control_state" = 'in archive recovery' ]
}

# The server as a standby of nobody, reachable for nobody.
start_private() {
	set -- -c listen_addresses= -c unix_socket_directories=. -c hot_standby=on -c primary_conninfo= -c primary_slot_name= \
		-c restore_command= -c archive_cleanup_command= -c recovery_end_command= -c archive_mode=off \
		-c logging_collector=off -c log_destination=stderr -c lc_messages=C
	# one call, where it would open and sync each file of the directory
	[ "$major" -lt 14 ] || set -- "$@" -c recovery_init_sync_method=syncfs
	[ -z "$config_file" ] || set -- -c "config_file=$config_file" "$@"
	(
		unset LC_ALL SSH_CLIENT SSH_CONNECTION SSH_ORIGINAL_COMMAND
		PATH=/usr/local/sbin:/usr/local/bin:$PATH
		exec setsid setpriv --pdeathsig QUIT -- "$bin_directory/postgres" -D "$real" "$@" </dev/null >>"$log_file" 2>&1 8>&- 9>&-
	) &
	child=$!
}

# Gives up when the startup process shows the same segment for five minutes.
watch_recovery() {
	scan_server
	find_postmaster
	read_recovery
	[ "$seen" = "$recovery" ] || moved=$now seen=$recovery
	[ "$now" -lt $((moved + 30000)) ] || give_up not_possible "crash recovery did not move for 300 s ($recovery)" "see $log_file"
}

recover() {
	! is_clean || return 0
	began=$control_state
	scan_server
	find_postmaster
	remove_stale_pidfile
	start_private
	now
	said=0 moved=$now seen=
	while kill -0 "$child" 2>/dev/null; do
		! has_recovered || break
		now
		if [ "$now" -ge $((said + 90)) ]; then
			watch_recovery
			progress recovery 0 0
			said=$now
		fi
		sleep 0.02
	done
	wait_stopped 12000
	is_clean || give_up not_possible "crash recovery failed: $(last_error "$log_file")" "regent rebuild $node"
	rm -f -- .s.PGSQL.*
}

# wait_stopped HUNDREDTHS: asks $child to end, and waits for it
wait_stopped() {
	now
	stop_until=$((now + $1))
	while kill -0 "$child" 2>/dev/null; do
		now
		kill -s INT "$child" 2>/dev/null
		[ "$now" -lt $stop_until ] || give_up not_possible 'the server does not stop after crash recovery' "see $log_file"
		if [ "$now" -ge $((said + 90)) ]; then
			progress recovery 0 0
			said=$now
		fi
		sleep 0.02
	done
	wait "$child" 2>/dev/null
	child=
	killed=0 killed_pids=' '
	kill_server
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
	while [ $segment_number -ge "$first_segment" ]; do
		part=$((fork - segment_number * segment_size))
		[ $part -le "$segment_size" ] || part=$segment_size
		segment_name $segment_number
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

# source_hash NAME BYTES: the segment without its timeline; sets $theirs, empty when it
# is not there under the number of any timeline of the source
source_hash() {
	names=
	for entry in $source_history "$source_now:"; do
		hex8 "${entry%%:*}"
		names="$names,$hex$1"
	done
	theirs=$(source_psql "dbname=$source_database" "SELECT encode(sha256(part), 'hex')
 FROM (SELECT pg_read_binary_file('pg_wal/' || name, 0, $2, true) AS part, n FROM unnest('{${names#,}}'::text[]) WITH ORDINALITY AS u (name, n)) AS s
 WHERE length(part) = $2 ORDER BY n DESC LIMIT 1")
}

# run_rewind PHASE WORDS...: pg_rewind.  Its question for the source's files is thought
# to be expensive by the planner; compiling it would take longer than all the rest.
run_rewind() {
	rewind_phase=$1
	shift
	run_watched "$rewind_phase" 1200 "$bin_directory/pg_rewind" --target-pgdata="$real" --source-server="$conninfo dbname=$source_database options=-cjit=off" --no-ensure-shutdown --progress "$@"
}

# pg_rewind's own opinion, before anything is written.
try_rewind() {
	run_rewind recovery --dry-run
	reply=$(cat "$log")
	[ $status = 0 ] || give_up not_possible "pg_rewind --dry-run: $(last_error "$log")" "regent rebuild $node"
	case $reply in
	*'no rewind required'*) give_up not_possible 'pg_rewind says that no rewind is required' "regent rebuild $node" ;;
	*"diverged at WAL location $fork_text on timeline $fork_timeline"*) ;;
	*) give_up not_possible "pg_rewind does not see the fork at $fork_text on timeline $fork_timeline that the histories tell" "regent rebuild $node" ;;
	esac
	# need to copy 90 MB (total source directory size is 123 MB)
	reply=${reply##*directory size is }
	reply=${reply%% MB*}
	case $reply in '' | *[!0-9]*) return 0 ;; esac
	check_rewind_space $((reply * 1048576))
}

# check_rewind_space SIZE: the directory grows to that of the source at most, both with
# what lies elsewhere
check_rewind_space() {
	own_size=$(du -sbL . 2>/dev/null | {
		read -r size _
		echo "$size"
	})
	disk=$(stat -f -c '%S %a' .) || return 0
	disk=$((${disk% *} * ${disk#* }))
	needed=$(($1 - own_size + 2 * segment_size * (last_segment - first_segment + 1) + 67108864))
	[ $needed -le $disk ] || give_up no_space "a rewind needs up to $needed bytes more in $real, $disk are free" 'free some space'
}

# ---- the mark and what lies beside -------------------------------------------

# Segments that the source has, too, under the same name: pg_rewind overwrites
# these in place.  Those that it lacks are unlinked, so a link keeps them.
find_shared_segments() {
	segment_name $first_segment
	shared_segments=$segment
	segment_name $last_segment
	shared_segments=$(source_psql "dbname=$source_database" "SELECT string_agg(name, ' ') FROM pg_ls_dir('pg_wal', true, false) AS name
 WHERE name COLLATE \"C\" BETWEEN '$shared_segments' AND '$segment'") ||
		give_up not_possible "the WAL of $leader can't be listed: $shared_segments" 'regent init'
}

# save_segment SEGMENT: a copy up to the fork, a link beyond
save_segment() {
	[ "$segment_number" -le $((fork / segment_size)) ] || case " $shared_segments " in
	*" $1 "*) ;;
	*) ln -- "pg_wal/$1" "$store/wal/$1" 2>/dev/null && return 0 ;;
	esac
	cp --reflink=auto -- "pg_wal/$1" "$store/wal/$1"
}

# Own settings, control file, histories and WAL.
save_files() {
	own_files . "$store/own"
	cp -a -- global/pg_control "$store/global/" || return 1
	for file in pg_wal/*.history; do
		[ ! -e "$file" ] || cp -a -- "$file" "$store/wal/" || return 1
	done
	segment_number=$first_segment
	while [ $segment_number -le $last_segment ]; do
		segment_name $segment_number
		save_segment "$segment" || return 1
		segment_number=$((segment_number + 1))
	done
	sync_tree "$store"
}

# Before anything is changed, and beside what else is done meanwhile.
start_saving() {
	find_shared_segments
	disk=$(stat -f -c '%S %a' "${real%/*}") && disk=$((${disk% *} * ${disk#* })) || disk=
	needed=$((segment_size * (last_segment - first_segment + 1) + 67108864))
	[ -z "$disk" ] || [ $needed -le "$disk" ] || give_up no_space "a rewind needs up to $needed bytes more beside $real, $disk are free" 'free some space'
	remove_tree "$store"
	mkdir -p -- "$store/own" "$store/global" "$store/wal" || give_up no_space "can't make $store" "free some space, and let $(id -un) write in ${real%/*}"
	(
		trap - EXIT
		save_files
	) >/dev/null 2>&1 8>&- &
	saving_pid=$!
}
saving_pid=

end_saving() {
	tell_while "$saving_pid" keep || {
		saving_pid=
		give_up no_space "can't write in $store" 'free some space'
	}
	saving_pid= saved_wal=$store/wal
}

write_mark() {
	printf '%s\n' 'pg_regent rewind 1' "inode $(stat -c '%d:%i' .)" "term $term" "leader $leader" "timeline $source_now" \
		"phase $1" "fork $fork_text" "from $fork" "to $diverged_to" "bytes $diverged_bytes" "transactions ${diverged_transactions:--}" \
		"kept ${kept:--}" >"$store/mark.regent-tmp" && sync "$store/mark.regent-tmp" && mv -T "$store/mark.regent-tmp" "$store/mark" && sync "$store" ||
		give_up no_space "can't write in $store" 'free some space'
}

# read_mark: false when it is not there, or not this directory's
read_mark() {
	mark_timeline= mark_phase= mark_inode=
	[ -r "$store/mark" ] || return 1
	while read -r key value; do
		case $key in
		inode) mark_inode=$value ;;
		timeline) mark_timeline=$value ;;
		phase) mark_phase=$value ;;
		fork) fork_text=$value ;;
		from) fork=$value ;;
		to) diverged_to=$value ;;
		bytes) diverged_bytes=$value ;;
		transactions) diverged_transactions=${value#-} ;;
		kept) kept=${value#-} ;;
		esac
	done <"$store/mark"
	[ "$mark_inode" = "$(stat -c '%d:%i' .)" ]
}

# From here on nothing starts in the directory.  Under the node's lock, so that no
# promise falls between the state that is saved and the mark.
set_mark() {
	require_node_lock 5
	read_state .
	check_term "$term"
	[ ! -e regent.state ] || cp -a regent.state "$store/regent.state" || give_up no_space "can't write in $store" 'free some space'
	write_mark rewinding
	[ ! -e "$store/regent.state" ] || sync "$store/regent.state"
	mkfifo -m 600 $rewind_mark || give_up no_space "can't write in $real" 'free some space'
	rewinding=true own_state=$store middle=fail_half
	sync .
	unlock_node
	# a service manager may have started it a moment before
	killed=0 killed_pids=' '
	kill_server
	[ "$left" = 0 ] || give_up not_dead "$left processes of the server in $real do not die" 'look at them, or restart the host'
}

# A repeat: pg_rewind finds what it found the first time.
put_back() {
	rm -f backup_label tablespace_map
	put_own_files
	cp --reflink=auto --remove-destination -- "$store"/wal/* pg_wal/ && cp -a -- "$store/global/pg_control" global/pg_control ||
		give_up no_space "can't write in $real" 'free some space'
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
	for file in *.conf *.crt *.key *.crl *.pem conf.d; do
		[ ! -e "$file" ] && [ ! -L "$file" ] || rm -rf --one-file-system -- "$file"
	done
	own_files "$store/own" .
}

# All that pg_rewind and we have written, by one call for each file system: pg_rewind
# by itself opens and syncs every file of the directory, changed or not.
sync_rewound() {
	set -- . pg_wal
	for space in pg_tblspc/*; do
		[ ! -d "$space" ] || set -- "$@" "$space"
	done
	sync -f -- "$@" 8>&- &
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
}

# The first time: all that comes before the mark.
begin_rewind() {
	[ -e standby.signal ] || fail not_fenced "$real has no standby.signal: it was a primary and is not fenced" "regent-node $node fence TERM"
	remove_tree "$store"
	log=$real.regent-rewind-log
	check_rewindable
	check_wal
	check_same_wal
	source_checkpoint
	stop_for_exchange
	start_listing
	recover
	read_own_wal || give_up not_possible "pg_controldata fails on $real" 'see its message'
	[ "$listing_timeline" = "$own_timeline" ] || stop_listing
	need_all_segments || give_up not_possible "WAL segment $segment is not there" "regent rebuild $node"
	start_saving
	try_rewind
	progress keep 0 0
	end_saving
	keep_diverged "$term" "$source_now" || keep_failed
	log=$store/log
	set_mark
	rm -f -- "$real.regent-rewind-log"
}

verb_rewind() {
	term=$1
	shift
	check_source "$@"
	open_own_directory
	lock_siblings
	[ ! -e "$old" ] || fail unsettled "$old is still there from an earlier swap" "regent-node $node settle, or unswap"
	read_state "$own_state"
	check_term "$term"
	check_not_primary
	child= fetched= status=0 bytes=0 log=$store/log mark_phase=
	read_control "$own_state"
	check_source_system
	check_source_server
	check_source_state
	abort=rewind_abort
	trap rewind_abort HUP INT TERM PIPE
	trap rewind_stop EXIT
	if $rewinding; then
		check_repeat
		middle=fail_half
	else
		begin_rewind
	fi
	if [ "$mark_phase" != done ]; then
		[ "$mark_phase" != rewinding ] || put_back
		run_rewind rewind --no-sync
		[ $status = 0 ] || give_up rewind_failed "pg_rewind: $(last_error "$log")" ''
		part_kept
		put_own_files
		settle_archive
		sync_rewound
		write_mark done
	fi
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
