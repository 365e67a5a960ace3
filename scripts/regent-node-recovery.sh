#
# regent-node-recovery.sh
#	  Where the WAL of a server ends that was not shut down, before it is rewound.
#	  Sourced by regent-node.
#
# A leader that was killed tells it by its WAL, and nothing is started.  All others
# are started once more, as a standby of nobody that listens on a socket within its
# own directory only, until their WAL is replayed.  It stays a standby all the time,
# so pg_rewind's own way (single-user mode, which refuses a directory with
# standby.signal and ends recovery) is not taken.
#
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

# A primary ends with the record of its checkpoint.
find_clean_end() {
	read_own_wal || return 1
	[ "$control_state" = 'shut down' ] || return 0
	lsn_number "$checkpoint_lsn"
	[ "$own_end" = "$number" ] || return 0
	listing_timeline=$own_timeline
	! find_record "$checkpoint_lsn" || own_end=$end
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

# ---- a killed leader ---------------------------------------------------------

can_find_end() {
	[ "$control_state" = 'in production' ] && [ ! -e backup_label ] && [ -x /usr/bin/perl ]
}

# Looks for the end, beside what else is looked at.  Nobody has written WAL meanwhile when
# the control file is still the same: the first word of a server that is started here
# is that it recovers.
search_end() {
	searched=$control
	find_listing_begin
	timeout -k 2 300 "$bin_directory/pg_waldump" -q -p pg_wal -t "$own_timeline" -s "$listing_from" >"$real.regent-rewind-end" 2>&1 </dev/null 8>&- &
	end_pid=$!
}
end_pid=

# All that pg_rewind takes from a recovery is where WAL ends, and that can be read from
# WAL.  What recovery would do to the data is done later, by the replay from the last
# common checkpoint on, or copied: so it is not needed where our own last checkpoint
# is that one or a later one.  Then every change before it is in the files, every
# later one of the history in common is replayed from its full page, and every page
# that was changed beyond comes from the source.
find_end() {
	can_find_end || return 1
	lsn_number "$checkpoint_lsn"
	[ "$number" -ge "$common_checkpoint" ] || return 1
	control_field "Latest checkpoint's full_page_writes:"
	full=$field
	control_field 'WAL block size:'
	[ "$full:$field" = on:8192 ] || return 1
	hex8 "$own_timeline"
	for file in pg_wal/*.history; do
		file=${file#pg_wal/}
		[ ! "${file%.history}" \> "$hex" ] || [ "$file" = '*.history' ] || return 1
	done
	[ -n "$end_pid" ] && [ "$searched" = "$control" ] && [ -z "$fetched" ] || search_end
	tell_while "$end_pid" recovery
	end_pid=
	reply=$(cat "$real.regent-rewind-end")
	case $reply in
	*'error in WAL record at '*) ;;
	*) return 1 ;;
	esac
	reply=${reply##*'error in WAL record at '}
	find_record "${reply%%: *}" || return 1
	own_end=$end pretended=true
}

# pretend FROM TO END TIMELINE: a control file that says "shut down in recovery" and
# where WAL ends.  Versions 13 to 17 lay it out like this (1300, and 1700 of 17).
pretend='
use strict;
my ($from, $to, $end, $timeline) = @ARGV;
open(my $in, "<:raw", $from) or exit 1;
read($in, my $control, 8192) == 8192 or exit 1;
unpack("L", substr($control, 8, 4)) =~ /^1[37]00\z/ or exit 1;
my @table = map { my $c = $_; $c = $c & 1 ? $c >> 1 ^ 0x82F63B78 : $c >> 1 for 1 .. 8; $c } 0 .. 255;
sub crc { my $c = 0xFFFFFFFF; $c = $table[($c ^ $_) & 255] ^ $c >> 8 for unpack("C*", $_[0]); return $c ^ 0xFFFFFFFF }
my ($at) = grep { crc(substr($control, 0, $_)) == unpack("L", substr($control, $_, 4)) } map { $_ * 4 } 50 .. 125;
defined $at or exit 1;
substr($control, 16, 4) = pack("L", 2);
substr($control, 136, 12) = pack("QL", $end, $timeline);
substr($control, $at, 4) = pack("L", crc(substr($control, 0, $at)));
open(my $out, ">:raw", $to) or exit 1;
print($out $control) && close($out) or exit 1;
'

# The saved control file becomes such a one, the real one stays beside it.  It must say
# what was meant and nothing else.
pretend_shut_down() {
	mv -T -- "$store/global/pg_control" "$store/global/pg_control.own" &&
		/usr/bin/perl -e "$pretend" "$store/global/pg_control.own" "$store/global/pg_control" "$own_end" "$own_timeline" || return 1
	chmod 600 "$store/global/pg_control"
	before=$control
	read_control "$store"
	control_field 'Minimum recovery ending location:'
	lsn_number "$field"
	control_field "Min recovery ending loc's timeline:"
	[ "$control_state:$number:$field" = "shut down in recovery:$own_end:$own_timeline" ] || return 1
	[ "$(without_end "$before")" = "$(without_end "$control")" ]
}

without_end() {
	grep -v -e '^Database cluster state:' -e '^Minimum recovery ending location:' -e '^Min recovery ending loc' <<END
$1
END
}
