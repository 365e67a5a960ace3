#
# regent-node-clone.sh
#	  A new node: clone makes its data directory from nothing.  Sourced by
#	  regent-node, after regent-node-copy.sh.
#
# A clone never removes or changes what it finds.  The directory has to be absent or
# empty; whatever else stands there is refused with what it is.  It works in
# DIRECTORY.regent-new, and only what is complete and can be started gets the node's
# name.  DIRECTORY.regent-clone marks that, with its inode, until the server has been
# started: a clone that was interrupted after it goes on from there.
#
# Tablespaces and pg_wal go where node.conf puts them, else tablespaces to the path
# that they have on the leader and pg_wal into the directory; each place has to be absent or
# empty, too.  DIRECTORY.regent-places lists them for whoever cleans up
# (regent-node-places.sh): only what the clone has put there is removed.

# ---- what is there -----------------------------------------------------------

# The directory's place, without entering it: it need not exist yet.
clone_place() {
	real=$data_directory new=$real.regent-new old=$real.regent-old marker=$real.regent-copy
	clone_mark=$real.regent-clone old_there=false
	parent=${real%/*}
	[ -n "$parent" ] || fail unsafe_directory "$real lies directly under /" "choose a data_directory for [$node] that is one level down"
	[ ! -L "$real" ] || fail symlink "$real is a symbolic link" "write the real path as data_directory of [$node] in $config"
	cd -P -- "$parent" 2>/dev/null ||
		fail no_directory "there is no directory $parent" "make it, for $(id -un): install -d -m 700 -o $(id -un) $parent"
	[ "$PWD" = "$parent" ] || fail symlink "$parent leads to $PWD" "write the real path as data_directory of [$node] in $config"
	[ -w . ] || fail no_permission "$(id -un) can't write in $parent" "chown $(id -un) $parent"
	! mountpoint -q "$real" || fail mount_point "$real is a mount point: no directory can be renamed to it" "choose a data_directory for [$node] below it"
	[ ! -e "$old" ] || fail unsettled "$old is there: a rebuild of this node has not come to its end" "look at it, and move it away"
}

# Something stands there: what, and what can be done?  Nothing of it is touched.
refuse_directory() {
	cd -P -- "$real" 2>/dev/null || fail no_permission "$(id -un) can't enter $real" 'see its owner and its mode'
	[ -e PG_VERSION ] || [ -e global/pg_control ] ||
		fail not_empty "$real is not empty, and no data directory of PostgreSQL" "look at it; a new node needs a directory that is empty or absent"
	scan_server
	find_postmaster
	read_control .
	[ $postmaster = absent ] || running=', and a server runs there'
	[ "$system_identifier" != "$source_system" ] ||
		fail not_empty "it holds data of this very cluster already${running-}" "regent rebuild $node, then regent node add $node; or move $real away"
	fail other_system "it holds another cluster's data${running-}: system identifier ${system_identifier:-unknown} in $real, not $source_system" "see what it is; move it away yourself if it is worth nothing, or choose another data_directory"
}

# A clone was interrupted when the directory had its name already.
is_cloned() {
	[ -e "$clone_mark" ] && [ -d "$real" ] || return 1
	{ read -r inode <"$clone_mark"; } 2>/dev/null
	[ "$inode" = "$(stat -c '%d:%i' "$real")" ]
}

is_empty() {
	for file in "$1"/* "$1"/.[!.]* "$1"/..?*; do
		[ ! -e "$file" ] && [ ! -L "$file" ] || return 1
	done
}

check_clone_directory() {
	[ -e "$real" ] || return 0
	[ -d "$real" ] && [ -r "$real" ] && is_empty "$real" || refuse_directory
	[ -O "$real" ] || fail wrong_user "$real does not belong to $(id -un)" "chown $(id -un) $real"
}

# ---- what is needed ----------------------------------------------------------

# ask_source STATEMENT: $reply, over the replication protocol; errors as SQLSTATE
ask_source() {
	reply=$(timeout -k 2 15 "$bin_directory/psql" -w -X -A -t -v VERBOSITY=sqlstate -d "$conninfo dbname=replication replication=true" -c "$1" 2>&1 </dev/null)
}

# For ask_size: the database of the extension, as the source itself says; there is no directory yet to ask.
find_database() {
	source_database=postgres
	ask_source 'SHOW regent.database' || return 0
	case $reply in
	'' | *[!A-Za-z0-9_.-]*) ;;
	*) source_database=$reply ;;
	esac
}

check_programs() {
	for program in postgres pg_ctl pg_basebackup psql; do
		[ -x "$bin_directory/$program" ] || fail config "$bin_directory has no $program" "install PostgreSQL's server there, or correct bin_directory of [$node] in $config"
	done
	own_version=$("$bin_directory/postgres" -V 2>/dev/null)
	own_version=${own_version##*'(PostgreSQL) '}
	own_version=${own_version%%[!0-9]*}
	ask_source 'SHOW server_version_num' || fail source "can't ask $host:$source_port for its version: $reply" "see its log"
	[ "$own_version" = "${reply%????}" ] ||
		fail other_version "$bin_directory has PostgreSQL ${own_version:-unknown}, $leader runs ${reply%????}" "install the same major version on this host, or correct bin_directory of [$node] in $config"
	library=$("$bin_directory/pg_config" --pkglibdir 2>/dev/null) || library=
	[ -n "$library" ] && [ -d "$library" ] || library=${bin_directory%/bin}/lib
	[ ! -d "$library" ] || [ -e "$library/pg_regent.so" ] ||
		fail no_extension "$library has no pg_regent.so" 'install the extension on this host: make -C extension install'
}

# The port that people wrote into node.conf must be the one that the watchdog knows.
check_own_port() {
	[ -z "$port" ] || [ "$port" = "$own_port" ] ||
		fail config "$config says port $port for [$node], regent.conf says $own_port" 'make them equal'
}

# $catalog_directory, as the source has it
find_catalog_directory() {
	catalog_directory=$(source_sql 'SELECT catalog_version_no FROM pg_control_system()') || catalog_directory=
	catalog_directory=PG_${own_version}_$catalog_directory
	case ${catalog_directory##*_} in
	'' | *[!0-9]*) catalog_directory=PG_unknown ;;
	esac
}

# ---- places ------------------------------------------------------------------

# plan_space OID NAME PATH-ON-THE-SOURCE: nothing of the node's own is there yet
plan_space() {
	mapped_place "$2" "$3"
	tablespace_word "$1" "$3" "$place"
	plan_place "tablespace $2 of $leader" "$3" "$place" "$word"
	need_space "$place" "$1"
	space_count=$((space_count + 1))
}

plan_wal() {
	[ -n "$wal_directory" ] || return 0
	choose_place 'wal_directory = '
	place=$wal_directory
	bare_place
	plan_place pg_wal "$place" "$place" "--waldir=$place"
	need_space "$place" pg_wal
}

# A misspelt name would silently fill the leader's path.
check_mappings() {
	while IFS= read -r mapping; do
		[ -n "$mapping" ] || continue
		case "$tab$(printf %s "$spaces" | tr '\n' '\t')$tab" in
		*"$tab${mapping%%=*}$tab"*) ;;
		*) fail config "$config maps tablespace ${mapping%%=*} for [$node], and $leader has none of that name or path" "correct it; $leader has: $(printf %s "$spaces" | cut -f 2,3 | tr '\t\n' ' ,')" ;;
		esac
	done <<END
$tablespace_map
END
}

# $sizes: a line with OID and bytes for each tablespace, "base" for the rest, or for all
# where the source doesn't tell
ask_sizes() {
	sizes=$(source_sql "SELECT coalesce(substring(path from '^pg_tblspc/([0-9]+)/'), 'base'), sum(size)::bigint
		FROM regent.copy_files() GROUP BY 1") || sizes=
	sizes=$(printf %s "$sizes" | tr '|' ' ')
	case $sizes in '' | *[!0-9a-z\ "$nl"]*) sizes="base $total" ;; esac
}

# need_space PATH WHAT: a line of $needs: device, bytes, path
need_space() {
	bytes_there=0
	while read -r what size; do
		[ "$what" != "$2" ] || bytes_there=$size
	done <<END
$sizes
END
	needs="$needs$(stat -L -c %d "${1%/*}/") ${bytes_there:-0} $1$nl"
}

# Before the first byte: on each disk all that is going to lie there.
check_needs() {
	checked=' '
	while read -r device _ path; do
		case $checked in *" $device "*) continue ;; esac
		checked="$checked$device "
		[ "$device" = "${needs%% *}" ] || apart=true
		sum_needs "$device"
		disk=$(stat -f -c '%S %a' "${path%/*}/") || continue
		disk=$((${disk% *} * ${disk#* }))
		[ $needed -le $disk ] || fail no_space "the new node needs $needed bytes on the disk of $path, $disk are free" 'free some space there, or choose another place in node.conf'
	done <<END
${needs%"$nl"}
END
}

# $needed: on this device
sum_needs() {
	needed=67108864
	while read -r other size _; do
		[ "$other" != "$1" ] || needed=$((needed + size))
	done <<END
$needs
END
}

# The leader keeps WAL for the new node from before its copy begins.
reserve_slot() {
	ask_source "CREATE_REPLICATION_SLOT $slot PHYSICAL RESERVE_WAL" && return 0
	case $reply in
	*42710*) ;; # it is there already
	*) fail no_slot "can't make slot $slot on $leader: $reply" "see the log of $leader: max_replication_slots, the rights of $user" ;;
	esac
}

# ---- settings ----------------------------------------------------------------

# setting NAME: sets $value to what the server will start with
setting() {
	value=$("$bin_directory/postgres" -C "$1" -D "$new" -c "config_file=${config_file:-$new/postgresql.conf}" -c "data_directory=$new" 2>/dev/null) || value=
}

# Only where the settings came with the copy: the leader's own address is not ours.
own_addresses() {
	setting listen_addresses
	case $address:,$(printf %s "$value" | tr -d ' '), in
	/* | *,'*',* | *,0.0.0.0,* | *,::,* | *",$address,"*) ;;
	*) own_names="$own_names listen_addresses" own_settings="$own_settings${nl}listen_addresses = '$address'" ;;
	esac
}

# The leader's state under our name; the leader's settings with our name and port,
# unless node.conf names a file of ours; a standby of the leader.
dress_clone() {
	cd "$new" || copy_fail no_copy "can't enter $new" 'start it again'
	[ -n "$config_file" ] || [ -e postgresql.conf ] ||
		copy_fail no_config "the data directory of $leader holds no postgresql.conf" "write one on this host, with shared_preload_libraries = 'pg_regent', and name it as config_file of [$node] in $config"
	[ -z "$config_file" ] || [ -r "$config_file" ] ||
		copy_fail no_config "can't read $config_file" "write it, or correct config_file of [$node] in $config"
	state_file=missing
	take_state "$term" .
	own_names='regent.node_name port' own_settings="regent.node_name = '$node'${nl}port = $own_port"
	[ -n "$config_file" ] || own_addresses
	find_upstream
	dress_standby
	check_settings
	cd /
}

check_settings() {
	setting shared_preload_libraries
	case ,$(printf %s "$value" | tr -d ' "'), in
	*,pg_regent,*) ;;
	*) copy_fail not_loaded "shared_preload_libraries is \"$value\"" "set shared_preload_libraries = 'pg_regent' in ${config_file:-postgresql.conf of $leader}" ;;
	esac
	[ -n "$config_file" ] || return 0
	value=$("$bin_directory/postgres" -C data_directory -D "$new" -c "config_file=$config_file" 2>/dev/null)
	[ "$value" = "$new" ] || [ "$value" = "$real" ] ||
		copy_fail config "$config_file says data_directory = $value, $config says $real" 'make them equal'
}

# ---- clone -------------------------------------------------------------------

# Gives the copy the node's name.  What has appeared there meanwhile is not replaced.
put_in_place() {
	stat -c '%d:%i' "$new" >"$clone_mark" || copy_fail no_space "can't write $clone_mark" 'free some space'
	sync "$clone_mark" || copy_fail not_synced "can't sync $clone_mark" 'see the kernel log for errors of the disk'
	[ ! -e "$real" ] || rmdir -- "$real" || copy_fail not_empty "$real is not empty any more" 'see who writes there'
	mv -nT -- "$new" "$real" 2>/dev/null
	[ ! -e "$new" ] || copy_fail not_moved "can't rename $new to $real" 'see the permissions there'
	sync "$parent" || fail not_synced "can't sync $parent" 'see the kernel log for errors of the disk'
	rm -f -- "$real.regent-copy-log" "$real.regent-places"
	whole=true
}

look_at_source() {
	check_clone_directory
	check_programs
	ask_size
	find_catalog_directory
}

# Each part has a place, and each disk has room.
plan_clone() {
	needs=
	ask_sizes
	need_space "$real" base
	plan_places
	check_needs
}

make_clone() {
	look_at_source
	remove_copied_places
	remove_tree "$new"
	rm -f -- "$marker" "$clone_mark"
	plan_clone
	reserve_slot
	note_places
	copy_pid= unchecked=$apart
	cd /
	abort=copy_abort
	trap copy_abort HUP INT TERM PIPE
	trap copy_stop EXIT
	check_space
	copy_start "$rate"
	copy_follow
	[ $copy_status = 0 ] || copy_fail copy_failed "$(last_error "$real.regent-copy-log")" 'see the message; nothing was left behind'
	sync_copy
	system_identifier=
	check_copy
	progress copying "$bytes" "$total"
	dress_clone
	trap - EXIT
	trap '' HUP INT TERM PIPE
	put_in_place
}

verb_clone() {
	term=$1 address=$2 own_port=$3 rate=${10-0}
	shift 3
	check_source "$@"
	check_number port "$own_port"
	check_own_port
	clone_place
	lock_siblings
	system_identifier= bytes=0
	check_source_system
	source_system=${reply%%|*}
	already=true
	if ! is_cloned; then
		already=false
		make_clone
	fi
	open_own_directory
	scan_server
	find_postmaster
	[ $postmaster != absent ] || start_server
	rm -f -- "$real.regent-places" "$clone_mark"
	answer_running
}
