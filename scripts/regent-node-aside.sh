#
# regent-node-aside.sh
#	  What a rewind puts aside before it changes anything, the mark, and the way
#	  back.  Sourced by regent-node.
#
# DIRECTORY.regent-rewind has the node's own settings and state, its control file,
# and all WAL from the last common checkpoint on: what pg_rewind would destroy and a
# repeat needs again.  WAL is linked, not copied, as far as pg_rewind unlinks it.
#
# ---- the mark and what lies beside -------------------------------------------

# Own settings, control file, histories and WAL, before anything is changed.  The
# segments are linked: nobody writes in them before the mark is set.
save_beside() {
	own_files . "$store/own"
	cp -a -- global/pg_control "$store/global/" || give_up no_space "can't write in $store" 'free some space'
	segments=
	segment_number=$first_segment
	while [ $segment_number -le $last_segment ]; do
		segment_name $segment_number
		segments="$segments pg_wal/$segment"
		segment_number=$((segment_number + 1))
	done
	for file in pg_wal/*.history; do
		[ ! -e "$file" ] || segments="$segments $file"
	done
	# shellcheck disable=SC2086
	cp -l -- $segments "$store/wal/" 2>/dev/null || cp --remove-destination --reflink=auto -- $segments "$store/wal/" ||
		give_up no_space "can't write in $store" 'free some space'
	saved_wal=$store/wal
}

# pg_rewind overwrites in place what the source has, too, and unlinks what it lacks.
# So the former, and what could stay, gets a file of its own as soon as the mark is
# set: copied before, beside what else is done, renamed then.
start_part() {
	(
		segment_number=$first_segment
		[ -z "$own_from" ] || segment_number=$((fork / segment_size))
		while [ $segment_number -le $((fork / segment_size)) ]; do
			segment_name $segment_number
			segment_number=$((segment_number + 1))
			cp --reflink=auto -- "pg_wal/$segment" "$store/part/" || exit 1
		done
	) >/dev/null 2>&1 & # with the lock, so that whoever ends us ends it
	part_pid=$!
}
part_pid=

part_from_store() {
	tell_while "$part_pid" keep || give_up no_space "can't write in $store" 'free some space'
	part_pid=
	set --
	for file in "$store"/wal/*; do
		name=${file##*/}
		# not shown to pg_rewind, so it is unlinked
		if [ -n "$own_from" ] && [ ${#name} = 24 ] && [ "${name#????????}" \< "$wal_from" ]; then continue; fi
		[ -e "$store/part/$name" ] || case $shared$name in
		*" $name "* | *.history) set -- "$@" "$file" ;;
		esac
	done
	[ $# = 0 ] || cp --reflink=auto -- "$@" "$store/part/" || give_up no_space "can't write in $store" 'free some space'
	mv -f -- "$store"/part/* pg_wal/ || give_up no_space "can't write in $real" 'free some space'
}

write_mark() {
	set -- "$store/mark.regent-tmp"
	[ ! -e "$store/regent.state" ] || set -- "$@" "$store/regent.state"
	printf '%s\n' 'pg_regent rewind 1' "inode $(stat -c '%d:%i' .)" "term $term" "leader $leader" "timeline $source_now" \
		"fork $fork_text" "fork_timeline $fork_timeline" "from $fork" "to $diverged_to" "bytes $diverged_bytes" "transactions ${diverged_transactions:--}" \
		"kept ${kept:--}" "listing $listing_from $listing_timeline" "wal_from $wal_from" >"$store/mark.regent-tmp" && sync "$@" && mv -T "$store/mark.regent-tmp" "$store/mark" && sync "$store" ||
		give_up no_space "can't write in $store" 'free some space'
}

# read_mark: false when it is not there, or not this directory's
read_mark() {
	mark_timeline= mark_inode= listing_from= listing_timeline= wal_from= fork_timeline=
	[ -r "$store/mark" ] || return 1
	while read -r key value; do
		case $key in
		inode) mark_inode=$value ;;
		timeline) mark_timeline=$value ;;
		fork) fork_text=$value ;;
		fork_timeline) fork_timeline=$value ;;
		from) fork=$value ;;
		to) diverged_to=$value ;;
		bytes) diverged_bytes=$value ;;
		transactions) diverged_transactions=${value#-} ;;
		kept) kept=${value#-} ;;
		wal_from) wal_from=$value ;;
		listing) listing_from=${value% *} listing_timeline=${value#* } ;;
		esac
	done <"$store/mark"
	[ "$mark_inode" = "$(stat -c '%d:%i' .)" ]
}

# From here on nothing starts in the directory.  Under the node's lock, so that no
# promise falls between the state that is saved and the mark.
set_mark() {
	sync_tree "$store/own" "$store/global" "$store/wal"
	require_node_lock 5
	read_state .
	check_term "$term"
	[ ! -e regent.state ] || cp -a regent.state "$store/regent.state" || give_up no_space "can't write in $store" 'free some space'
	write_mark
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

# ---- the WAL that both have ----------------------------------------------------

# From which segment on pg_rewind has to see the source's WAL, in $wal_from, as file
# names have it.  What both have before the fork stays ours where we have all of it
# from where replay begins: pg_rewind unlinks it, restore_common puts it back.
find_wal_from() {
	segment_number=$((common_redo / segment_size)) own_from=
	[ "$source_hides" != t ] || own_from=$segment_number
	while [ -n "$own_from" ] && [ $segment_number -lt $((fork / segment_size)) ]; do
		segment_name $segment_number
		[ -e "pg_wal/$segment" ] || own_from=
		segment_number=$((segment_number + 1))
	done
	if [ -n "$own_from" ]; then
		[ "$own_from" -ge "$first_segment" ] || first_segment=$own_from
		segment_name $((fork / segment_size))
	else
		segment_name $((common_redo / segment_size))
	fi
	wal_from=${segment#????????}
}

restore_common() {
	for file in "$store"/wal/*; do
		name=${file##*/}
		[ ${#name} = 24 ] && [ "${name#????????}" \< "$wal_from" ] && [ ! -e "pg_wal/$name" ] || continue
		ln -- "$file" "pg_wal/$name" 2>/dev/null || cp -- "$file" "pg_wal/$name" || give_up no_space "can't write in $real" 'free some space'
		# it was archived by whoever led then, or is among what is kept
		[ ! -d pg_wal/archive_status ] || : >"pg_wal/archive_status/$name.done"
	done
}
