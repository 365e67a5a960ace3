# A deposed leader comes back by pg_rewind: the matrix {clean stop, kill, power
# cut} x {WAL there, recycled, only in an archive} x {hints, checksums, neither} x
# {nothing else happens, the source restarts in the middle}.  Each cell ends
# rewound and streaming, or not_possible with the old directory as it was, or half
# rewound: then nothing starts there, and a repeat mends it.
#
# A part of the cells by default; all with REGENT_MATRIX=all (several minutes).
use strict;
use warnings;
use Digest::SHA;
use File::Find ();
use JSON::PP ();
use POSIX ();
use RegentCluster qw(wait_until slurp spew run_command);
use Test::More;
use Time::HiRes qw(sleep time);

my $w = '11111111-2222-3333-4444-555555555555';
my $all = ($ENV{REGENT_MATRIX} || '') eq 'all';
my ($c, $archive, $fork_segment);

sub dir { return $c->node($_[0])->{dir} }

# ---- a cluster whose leader was deposed and wrote on ----

sub write_rule
{
	my ($leader, $term) = @_;
	return $c->sql($leader, "SELECT regent.write_rule('$w', 1, $term, 0, '$leader', '{n1,n2}', 'async', 0, '{}', '10 min', NULL, 'test')->>'timeline'");
}

sub open_gate
{
	my ($leader) = @_;
	my $a = JSON::PP->new->decode($c->sql($leader, "SELECT to_json(h) FROM regent.heartbeat('$w', 1, NULL, NULL, NULL, NULL) h"));
	my $until = $a->{boottime_ms} + 600_000;
	$c->sql($leader, "SELECT FROM regent.heartbeat('$w', 1, '$a->{boot_id}', '$a->{started_at}', $a->{rule}{term}, $until)");
}

# n2 leads in term 5 from a position that n1 has left behind.  Beside n1's directory
# lie its states: killed, with an older control file, with one from before the last
# common checkpoint, and stopped cleanly.
sub diverge
{
	my ($kind) = @_;
	my $hints = $kind eq 'hints' ? 'on' : 'off';
	$c = RegentCluster->new(nodes => 2, no_sshd => 1, initdb => [ '--wal-segsize', 1, $kind eq 'checksums' ? '-k' : () ],
		conf => "wal_log_hints = $hints\nfsync = off\nmin_wal_size = 32MB\nwal_keep_size = 32MB\nautovacuum = off\n");
	$archive = $c->dir . '/archive';
	mkdir $archive;
	$c->sql('n1', 'CREATE EXTENSION pg_regent');
	write_rule('n1', 1);
	wait_until(sub { ($c->sql('n2', 'SELECT term FROM regent.node_status()', may_fail => 1) || 0) == 1 }, 20, 'n2 holds the rule');
	open_gate('n1');
	$c->sql('n1', "CREATE TABLE t AS SELECT i AS id, 'common' AS who FROM generate_series(1, 1000) i");
	spew($c->dir . '/pg_control_old', slurp(dir('n1') . '/global/pg_control'));
	$c->sql('n1', 'CHECKPOINT');
	$c->sql('n1', "UPDATE t SET who = 'both' WHERE id <= 100");
	$c->wait_caught_up('n1', 'n2');
	is($c->sql('n2', "SELECT complete FROM regent.promise('$w', 1, 5, 10000)"), 't', "$kind: n2 is recruited");
	if ($kind eq 'hints')
	{
		# ends where n2's timeline will begin
		$c->stop_server('n2');
		RegentCluster::must([ 'cp', '-a', dir('n2'), $c->dir . '/twin' ]);
		$c->start_server('n2');
	}
	$c->sql('n2', "SELECT regent.promote('$w', 1, 5)");
	is(write_rule('n2', 5), 5, 'and leads on timeline 5');
	open_gate('n2');

	$c->sql('n1', "SET synchronous_commit = local; CREATE TABLE lost AS SELECT 1 AS one; UPDATE t SET who = 'lost' WHERE id <= 500");
	$fork_segment = $c->sql('n1', 'SELECT pg_walfile_name(pg_current_wal_lsn())');
	$c->sql('n1', "SELECT pg_switch_wal()");
	$c->sql('n1', 'CHECKPOINT');
	spew($c->dir . '/pg_control', slurp(dir('n1') . '/global/pg_control'));
	$c->sql('n1', "UPDATE t SET who = 'lost again' WHERE id <= 5");
	$c->sql('n1', 'CHECKPOINT');
	$c->sql('n1', "DELETE FROM t WHERE id > 900");
	kill 'KILL', $c->processes('n1');
	wait_until(sub { !$c->processes('n1') }, 10, 'n1 is dead');

	$c->sql('n2', "UPDATE t SET who = 'n2' WHERE id % 3 = 0; CREATE TABLE big AS SELECT i, repeat(md5(i::text), 30) AS pad FROM generate_series(1, 20000) i");
	wait_until(sub { $c->sql('n2', "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'regent_n1'") == 1 }, 20, 'the slot');
	RegentCluster::must([ 'cp', '-a', dir('n1'), $c->dir . '/kill' ]);
	RegentCluster::must([ 'cp', '-a', dir('n1'), $c->dir . '/power' ]);
	spew($c->dir . '/power/global/pg_control', slurp($c->dir . '/pg_control'), 0600);
	RegentCluster::must([ 'cp', '-a', dir('n1'), $c->dir . '/old' ]);
	spew($c->dir . '/old/global/pg_control', slurp($c->dir . '/pg_control_old'), 0600);
	$c->start_server('n1');
	$c->stop_server('n1');
	rename dir('n1'), $c->dir . '/clean';
}

# ---- a cell ----

sub source { my ($term) = @_; return ($term || 5, 'n2', '127.0.0.1', $c->node('n2')->{port}, 'postgres', '-', 'regent_n1') }

sub helper
{
	my (@words) = @_;
	my ($rc, $out, $err) = $c->helper('n1', @words);
	my ($last) = (split /\n/, $out)[-1] // '';
	my $answer = eval { JSON::PP->new->decode($last) } || {};
	$answer->{all} = $out . $err;
	return $answer;
}

sub fingerprint
{
	my ($dir) = @_;
	my %seen;
	File::Find::find({ no_chdir => 1, wanted => sub {
		my @st = lstat($_) or return;
		$seen{ substr($_, length $dir) } = -f _ ? Digest::SHA->new(1)->addfile($_)->hexdigest : -l _ ? readlink($_) : 'other';
	} }, $dir);
	return \%seen;
}

# n1 as it stopped, fenced, with its WAL here or there
sub prepare
{
	my ($stop, $wal) = @_;
	$c->stop_server('n1', 'immediate') if $c->postmaster('n1');
	RegentCluster::must([ 'rm', '-rf', dir('n1'), dir('n1') . '.regent-rewind', dir('n1') . '.regent-diverged' ]);
	RegentCluster::must([ 'cp', '-a', $c->dir . "/$stop", dir('n1') ]);
	for my $file (glob(dir('n1') . '/pg_wal/' . ('[0-9A-F]' x 24)))
	{
		my ($name) = $file =~ m{([^/]+)$};
		next if $wal eq 'there' || $name gt $fork_segment;
		RegentCluster::must([ 'cp', $file, "$archive/$name" ]) if $wal eq 'archive';
		unlink $file;
	}
	spew(dir('n1') . '/postgresql.conf', $c->server_conf('n1') . ($wal eq 'archive' ? "restore_command = 'cp $archive/%f \"%p\"'\n" : ''));
	my $f = helper('fence', 5);
	ok($f->{ok} && $f->{fenced}, "$stop, $wal: fenced") or diag($f->{all});
}

sub is_back
{
	my ($what) = @_;
	wait_until(sub { ($c->sql('n2', "SELECT state FROM pg_stat_replication WHERE application_name = 'n1'", may_fail => 1) // '') eq 'streaming' },
		30, "$what: n1 streams", sub { slurp($c->node('n1')->{log}) =~ /((?:.*\n){0,15})\z/; $1 });
	$c->wait_caught_up('n2', 'n1');
	my $rows = q{SELECT md5(string_agg(t::text, ',' ORDER BY id)) || (SELECT count(*) FROM big) || coalesce(to_regclass('lost')::text, '') FROM t};
	is($c->sql('n1', $rows), $c->sql('n2', $rows), "$what: the rows of n2, and nothing else");
	is($c->sql('n1', 'SHOW regent.node_name') . $c->sql('n1', 'SHOW port'), 'n1' . $c->node('n1')->{port}, 'with its own settings');
	like(slurp(dir('n1') . '/regent.state'), qr/^node n1\n(?s:.*)^promise 5 /m, 'its own name and promise');
	ok(!-e dir('n1') . '/regent.rewinding' && !-e dir('n1') . '.regent-rewind', 'no mark, nothing beside');
	is_deeply([ glob(dir('n1') . '/pg_wal/archive_status/*.ready') ], [], "nothing of the leader's is archived again");
}

sub is_kept
{
	my ($a, $what) = @_;
	cmp_ok($a->{diverged_bytes}, '>', 200_000, "$what: $a->{diverged_bytes} bytes from $a->{diverged_from} to $a->{diverged_to}");
	is($a->{diverged_transactions}, 4, 'four transactions were given up');
	my $list = slurp("$a->{kept}/changes") // '';
	like($list, qr/^relation \d+\/\d+\/\d+ \d+$/m, 'which relations they changed');
	is(scalar(() = $list =~ /^commit \d+ 20\d\d-/mg), 4, 'and when they committed');
	ok(-s "$a->{kept}/$fork_segment", 'with their WAL');
}

# The mark, the refusals of everything that starts a server
sub cannot_start
{
	my ($what) = @_;
	ok(-p dir('n1') . '/regent.rewinding', "$what: marked");
	is(helper($_)->{error}, 'half_rewound', "regent-node does not $_") for 'start', 'restart';
	is(helper('promote', 5)->{error}, 'half_rewound', 'nor promote');
	my $p = helper('probe');
	ok($p->{ok} && $p->{rewinding} && !$p->{directory_ok} && $p->{fenced} && $p->{promised_term} == 5, 'probe says so') or diag($p->{all});
	my @start = ("$RegentCluster::bindir/postgres", '-D', dir('n1'), '-p', $c->node('n1')->{port}, '-c', 'unix_socket_directories=/tmp');
	my ($rc, $out, $err) = run_command(\@start, timeout => 20);
	ok($rc != 0 && !$c->postmaster('n1'), 'the server does not start');
	like($err, qr/FATAL:/, 'whatever its settings are at that moment') or diag($err);
	# with the extension it says why
	($rc, $out, $err) = run_command([ @start, '-c', 'shared_preload_libraries=pg_regent', '-c', 'regent.node_name=n1' ], timeout => 20);
	like($err, qr/FATAL:/, 'nor with the extension');
	spew($c->dir . '/control', slurp(dir('n1') . '/global/pg_control'));
	spew(dir('n1') . '/global/pg_control', slurp(dir('n1') . '.regent-rewind/global/pg_control'), 0600);
	($rc, $out, $err) = run_command([ @start, '-c', 'shared_preload_libraries=pg_regent', '-c', 'regent.node_name=n1' ], timeout => 20);
	like($err, qr/FATAL:.*half rewound.*\n.*HINT:.*regent rebuild n1/s, 'the extension refuses by itself, says why, and what to type');
	spew(dir('n1') . '/global/pg_control', slurp($c->dir . '/control'), 0600);
}

# How often the server of n1 has been started so far
sub starts { return scalar(() = (slurp($c->node('n1')->{log}) // '') =~ /LOG:  starting PostgreSQL/g) }

# Runs a rewind and calls the code when pg_rewind has begun to write, stopped there.  One
# that was over before it could be stopped is begun again, with a fresh directory.
sub in_the_middle
{
	my ($code) = @_;
	my ($pid, $rewind, $out, $tries);
	until ($rewind || ++$tries > 10)
	{
		prepare('kill', 'there') if $tries > 1;
		($pid, $rewind, $out) = catch_rewind();
		waitpid $pid, 0 unless $rewind;
	}
	die "pg_rewind was not caught: " . slurp($out) unless $rewind;
	$code->($pid, $rewind);
	kill 'CONT', $rewind;
	waitpid $pid, 0;
	wait_until(sub { !-e "/proc/$rewind/cwd" }, 10, 'pg_rewind is gone');
	my ($last) = (split /\n/, slurp($out))[-1] // '';
	return eval { JSON::PP->new->decode($last) } || {};
}

# The helper, pg_rewind if it could be stopped, and where the answer goes
sub catch_rewind
{
	my $dir = dir('n1');
	my $out = $c->dir . '/background';
	my $file = $c->sql('n2', "SELECT pg_relation_filepath('big')");
	my $until = time + 60;
	unlink $out;
	my $pid = $c->spawn([ "$RegentCluster::top/scripts/regent-node", '-c', $c->dir . '/node.conf', 'n1', 'rewind', source() ], $out);
	until (time > $until || waitpid($pid, POSIX::WNOHANG()) == $pid)
	{
		sleep 0.002;
		next unless -e "$dir/regent.rewinding" && -s "$dir/$file" && slurp("$dir/global/pg_control") =~ /^\0/;
		my ($rewind) = grep { (slurp("/proc/$_/cmdline") // '') =~ m{^\S*/pg_rewind\0.*\Q$dir\E}s } map { m{(\d+)} } glob('/proc/[0-9]*');
		# the helper itself stops it, blanks the control file and lets it go on; then it sleeps
		next unless $rewind && grep { (slurp("/proc/$_/comm") // '') eq "sleep\n" } split / /, slurp("/proc/$pid/task/$pid/children") // '';
		return ($pid, $rewind, $out) if kill 'STOP', $rewind;
	}
	return ($pid, undef, $out);
}

sub restart_source
{
	kill 'KILL', $c->processes('n2');
	wait_until(sub { !$c->processes('n2') }, 10, 'n2 is dead');
	$c->start_server('n2');
	open_gate('n2');
}

# cell(STOP, WAL, POSSIBLE, RESTART)
sub cell
{
	my ($stop, $wal, $expected, $restart) = @_;
	my $what = "$stop, $wal" . ($restart ? ', source restarts' : '');
	prepare($stop, $wal);
	if ($expected)
	{
		my $before = fingerprint(dir('n1'));
		my $a = helper('rewind', source());
		is($a->{error}, 'not_possible', "$what: not possible") or diag($a->{all});
		like($a->{detail} // '', $expected, 'the reason');
		is_deeply(fingerprint(dir('n1')), $before, 'the directory is as it was');
		is_deeply([ glob(dir('n1') . '.regent-*') ], [ dir('n1') . '.regent-lock' ], 'and nothing lies beside');
		return;
	}
	if ($restart)
	{
		my $a = in_the_middle(\&restart_source);
		is($a->{error}, 'half_rewound', "$what: half rewound") or diag(explain($a));
		cannot_start($what);
	}
	my $begin = time;
	my $before = starts();
	my $a = helper('rewind', source());
	ok($a->{ok}, "$what: rewound") or diag($a->{all});
	is(starts() - $before, $stop eq 'old' ? 2 : 1, $stop eq 'old' ? 'its WAL was replayed before' : 'without a recovery before') unless $restart;
	diag(sprintf '%s: %.1f s, %d bytes', $what, time - $begin, $a->{bytes} // 0);
	is_kept($a, $what);
	is_back($what);
}

my $no_wal = qr/WAL segment [0-9A-F]{24} is needed.*neither pg_wal nor restore_command/;

diverge('hints');
subtest 'keep-diverged by itself' => sub {
	prepare('kill', 'there');
	my $before = fingerprint(dir('n1'));
	my $a = helper('keep-diverged', source());
	ok($a->{ok}, 'kept') or diag($a->{all});
	is_kept($a, 'keep-diverged');
	is_deeply(fingerprint(dir('n1')), $before, 'nothing is touched');
	my $copy = helper('copy', source());
	ok($copy->{ok} && $copy->{diverged_bytes} == $a->{diverged_bytes} && $copy->{kept} eq $a->{kept}, 'a copy keeps it, too') or diag($copy->{all});
	ok(helper('discard')->{ok});
	is(helper('keep-diverged', source())->{diverged_to}, $a->{diverged_to}, 'again');
	is(helper('keep-diverged', 5)->{error}, 'no_history', 'without the source: it has not heard of timeline 5');
	for my $term (2 .. 5)
	{
		mkdir dir('n1') . ".regent-diverged/$term";
	}
	ok(helper('keep-diverged', source())->{ok});
	is_deeply([ map { m{([^/]+)$} } glob(dir('n1') . '.regent-diverged/*') ], [ 3, 4, 5 ], 'the three newest terms stay');
};

subtest 'refused before anything is touched' => sub {
	prepare('clean', 'there');
	my $before = fingerprint(dir('n1'));
	my @s = source();
	is(helper('rewind', 4, @s[ 1 .. 6 ])->{error}, 'stale_term', 'below the promise');
	is(helper('rewind', $s[0], 'n3', @s[ 2 .. 6 ])->{error}, 'wrong_source', 'another node than it should be');
	is(helper('rewind', @s[ 0 .. 3 ], 'regent_nobody', @s[ 5, 6 ])->{error}, 'source', 'nobody');
	$c->sql('n2', 'CREATE ROLE few LOGIN REPLICATION');
	like(helper('rewind', @s[ 0 .. 3 ], 'few', @s[ 5, 6 ])->{detail}, qr/functions that pg_rewind needs/, 'a role without the grants');
	my $hba = slurp(dir('n2') . '/pg_hba.conf');
	spew(dir('n2') . '/pg_hba.conf', "host all few 0.0.0.0/0 reject\n$hba");
	$c->sql('n2', 'SELECT pg_reload_conf()');
	my $a;
	wait_until(sub { $a = helper('rewind', @s[ 0 .. 3 ], 'few', @s[ 5, 6 ]); $a->{detail} =~ /can't log in/ }, 10, 'pg_hba.conf is read');
	like($a->{hint}, qr/pg_hba\.conf of every node: host postgres few/, 'what to write into pg_hba.conf');
	spew(dir('n2') . '/pg_hba.conf', $hba);
	$c->sql('n2', 'SELECT pg_reload_conf()');
	$c->sql('n2', 'DROP ROLE few');
	is_deeply(fingerprint(dir('n1')), $before, 'the directory is as it was');
	unlink dir('n1') . '/standby.signal';
	is(helper('rewind', @s)->{error}, 'not_fenced', 'without a fence');
};

# A byte of the source's WAL from before the fork: as if n1 had come up from an older
# disk once, and had written WAL of its own under the same numbers.
subtest 'the same numbers, other WAL' => sub {
	my ($fork) = slurp(dir('n2') . '/pg_wal/00000005.history') =~ m{^1\t(\S+)}m;
	my $number = RegentCluster::lsn_number($fork) - 1;
	my $file = dir('n2') . sprintf('/pg_wal/00000005%08X%08X', $number >> 32, ($number & 0xFFFFFFFF) >> 20);
	my $flip = sub {
		my $wal = slurp($file);
		substr($wal, 100, 1) ^= "\x01";
		open my $fh, '+<', $file or die "$file: $!";
		syswrite $fh, $wal, 1024;
	};
	$flip->();
	cell('clean', 'there', qr/n1 and n2 have different WAL before the fork at \Q$fork\E/);

	# that is known only when it is stopped: a standby that ran goes on
	ok(helper('start')->{ok}, 'as a standby that runs');
	my $before = $c->postmaster('n1');
	my $a = helper('rewind', source());
	is($a->{error}, 'not_possible', 'not possible') or diag($a->{all});
	ok(defined $c->postmaster('n1') && $c->postmaster('n1') != $before, 'it was stopped, and runs again');
	is($c->sql('n1', 'SELECT pg_is_in_recovery()'), 't', 'as a standby');
	$flip->();
	my @same = glob(dir('n2') . '/pg_wal/????????' . substr($file, -16));
	rename $_, "$_.away" for @same;
	cell('clean', 'there', qr/n2 has not enough WAL from before the fork/);
	rename "$_.away", $_ for @same;
};

cell('clean', 'there');
like(helper('rewind', source())->{detail} // '', qr/both are on timeline 5/, 'equal timelines are never rewound');
ok($c->postmaster('n1'), 'and the standby runs on');
cell('kill', 'archive');
prepare('kill', 'there');
ok(helper('start')->{ok}, 'a standby of nobody that runs');
my $running = helper('rewind', source());
is($running->{error}, undef, 'is stopped and rewound') or diag($running->{all});
is_back('a running standby');
cell('power', 'recycled', $no_wal);
cell('kill', 'there', undef, 1);
cell('old', 'there');
if ($all)
{
	cell('clean', 'recycled', $no_wal);
	cell('clean', 'archive');
	cell('kill', 'recycled', $no_wal);
	cell('power', 'there');
	cell('power', 'archive');
	for my $stop ('clean', 'kill', 'power')
	{
		cell($stop, $_, undef, 1) for 'there', 'archive';
	}
}

subtest 'a disk that is too small' => sub {
	my @ns = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps');
	plan skip_all => 'no user namespaces here' if system("@ns true 2>/dev/null") != 0;
	prepare('kill', 'there');
	my $small = $c->dir . '/small';
	mkdir $small;
	spew($c->dir . '/small.conf', "[n1]\ndata_directory = $small/data\nbin_directory = $RegentCluster::bindir\n");
	my ($size) = split ' ', `du -sm @{[ dir('n1') ]}`;
	my $words = join ' ', $RegentCluster::top . '/scripts/regent-node', '-c', $c->dir . '/small.conf', 'n1';
	my $out = `@ns sh -c 'mount -t tmpfs -o size=@{[ $size + 25 ]}m tmpfs $small && cp -a @{[ dir('n1') ]} $small/data &&
		$words rewind @{[ join ' ', source() ]}; ls $small; $words probe' 2>&1`;
	like($out, qr/"verb":"rewind".*"error":"no_space".*bytes more/, 'is told before anything is changed') or diag($out);
	unlike($out, qr/regent-(new|rewind)/, 'and nothing lies beside');
	like($out, qr/"state":"in production".*"fenced":true.*"rewinding":false/, 'the node is fenced as it was');
};

# A pg_rewind that ends before it writes anything, and one that ends after that.
subtest 'pg_rewind refuses' => sub {
	my $bin = $c->dir . '/bin';
	mkdir $bin;
	symlink $_, "$bin/" . ($_ =~ s{.*/}{}r) for grep { !m{/pg_rewind$} } glob("$RegentCluster::bindir/*");
	spew($c->dir . '/refuses.conf', "[n1]\ndata_directory = @{[ dir('n1') ]}\nbin_directory = $bin\nlog_file = @{[ $c->node('n1')->{log} ]}\n");
	my ($fork) = slurp(dir('n2') . '/pg_wal/00000005.history') =~ m{^1\t(\S+)}m;
	my $run = sub {
		my ($line) = @_;
		prepare('kill', 'there');
		my $before = fingerprint(dir('n1'));
		spew("$bin/pg_rewind", "#!/bin/sh\n[ \$1 = --version ] && exec $RegentCluster::bindir/pg_rewind --version\n$line\n", 0755);
		my ($rc, $out) = run_command([ $RegentCluster::top . '/scripts/regent-node', '-c', $c->dir . '/refuses.conf', 'n1', 'rewind', source() ], timeout => 120);
		return (JSON::PP->new->decode((split /\n/, $out)[-1]), $before);
	};
	my ($a, $before) = $run->('echo "pg_rewind: error: it does not like this" >&2; exit 1');
	is($a->{error}, 'not_possible', 'before it writes: not possible') or diag(explain($a));
	like($a->{detail}, qr/does not like this/, 'with its reason');
	is_deeply(fingerprint(dir('n1')), $before, 'the directory is as it was');
	is_deeply([ grep { !/-diverged$/ } glob(dir('n1') . '.regent-*') ], [ dir('n1') . '.regent-lock' ], 'and nothing lies beside');
	is_deeply([ glob(dir('n1') . '.regent-diverged/*') ], [], 'nothing is kept, since nothing is given up');
	ok(!$c->processes('n1'), 'and nothing runs');
	($a, $before) = $run->('echo "pg_rewind: servers diverged at WAL location ' . $fork . ' on timeline 1\npg_rewind: no rewind required" >&2; sleep 1; exit 0');
	is($a->{error}, 'not_possible', 'where no rewind is required: not possible') or diag(explain($a));
	is_deeply(fingerprint(dir('n1')), $before, 'the directory is as it was, with its control file');
	($a) = $run->('echo "pg_rewind: servers diverged at WAL location 0/1000000 on timeline 1" >&2; sleep 5; exit 1');
	is($a->{error}, 'not_possible', 'another fork than the histories tell: not possible') or diag(explain($a));
	like($a->{detail}, qr/does not see the fork/, 'with the reason');
	($a) = $run->('echo "pg_rewind: need to copy 5 MB (total source directory size is 9 MB)" >&2; exit 1');
	is($a->{error}, 'half_rewound', 'once it has begun to write: half rewound') or diag(explain($a));
	ok(-p dir('n1') . '/regent.rewinding', 'and marked');
	$a = helper('rewind', source());
	ok($a->{ok}, 'a repeat with a better one') or diag($a->{all});
	is_kept($a, 'after a repeat');
	is_back('after a repeat');
};

subtest 'killed at any point' => sub {
	# while the server replays its WAL by itself; where that was over before the helper
	# stood still, once more
	my ($pid, $tries);
	my $replays = sub { $c->postmaster('n1') && !-e dir('n1') . '/regent.rewinding' };
	until ($pid || ++$tries > 20)
	{
		prepare('old', 'there');
		my $dead = slurp(dir('n1') . '/postmaster.pid');
		$pid = $c->spawn([ "$RegentCluster::top/scripts/regent-node", '-c', $c->dir . '/node.conf', 'n1', 'rewind', source() ], $c->dir . '/background');
		my $until = time + 30;
		until ((slurp(dir('n1') . '/postmaster.pid') || $dead) ne $dead || time > $until) { sleep 0.001 }
		kill 'STOP', $pid;
		next if eval { wait_until($replays, 5, 'the private server') };
		kill 'CONT', $pid;
		waitpid $pid, 0;
		$pid = undef;
	}
	ok($replays->(), "caught while it replays (try $tries)");
	is($c->sql('n1', 'SELECT 1', may_fail => 1), undef, 'nobody reaches it');
	kill 'KILL', $pid;
	waitpid $pid, 0;
	wait_until(sub { !$c->processes('n1') }, 10, 'it ends with the helper');
	ok(!-e dir('n1') . '/regent.rewinding' && -e dir('n1') . '/standby.signal', 'killed in the recovery: a fenced directory like any other');

	my $a = in_the_middle(sub { kill 'KILL', $_[0] });
	cannot_start('killed in pg_rewind');
	my $mark = dir('n1') . '.regent-rewind/mark';
	my $text = slurp($mark);
	spew($mark, $text =~ s/^timeline 5$/timeline 4/mr);
	like(helper('rewind', source())->{detail}, qr/from timeline 4, and n2 is on timeline 5/, 'another timeline does not mend it');
	spew($mark, $text);
	ok(helper('keep-diverged', 5)->{diverged_bytes} > 0, 'what was given up is still known');

	# a copy mends it as well, and as long as it may go back, the half one stays one
	$a = helper('copy', source());
	ok($a->{ok} && $a->{diverged_bytes} > 0, 'a copy beside it') or diag($a->{all});
	$a = helper('delta', source());
	ok($a->{ok} && $a->{diverged_bytes} > 0, 'or a delta copy') or diag($a->{all});
	$a = helper('swap', source());
	ok($a->{ok}, 'swapped in') or diag($a->{all});
	is($c->sql('n1', 'SHOW regent.node_name') . $c->sql('n1', 'SHOW port'), 'n1' . $c->node('n1')->{port}, 'with its own settings');
	like(slurp(dir('n1') . '/regent.state'), qr/^node n1\n(?s:.*)^promise 5 /m, 'name and promise');
	is(helper('rewind', source())->{error}, 'unsettled', 'no rewind meanwhile');
	ok(helper('unswap')->{ok}, 'back');
	cannot_start('after unswap');

	$a = in_the_middle(sub {
		my $f = helper('fence', 9);
		ok($f->{ok} && $f->{promised_term} == 9, 'a fence in the middle of it') or diag($f->{all});
		is(helper('rewind', source(9))->{error}, 'busy', 'one at a time');
	});
	is($a->{error}, 'stale_term', 'a newer promise is not forgotten') or diag(explain($a));
	my $p = helper('probe');
	ok($p->{fenced} && !$p->{rewinding} && $p->{promised_term} == 9, 'it is whole, fenced, and has promised') or diag($p->{all});
	is($p->{postmaster}, 'absent', 'and was not started');
};
# Two promotions of other terms that took one number, and at the same place (attack F2):
# for pg_rewind they are one timeline.  Nothing of the promotions' own care is in the way
# here: the twin is promoted by hand, without the extension.
subtest 'one number, two histories' => sub {
	my ($twin, $port) = ($c->dir . '/twin', RegentCluster::free_port());
	my $fork_of = sub { slurp("$_[0]/pg_wal/00000005.history") =~ m{^1\t(\S+)}m ? $1 : '' };
	my @pg_ctl = ("$RegentCluster::bindir/pg_ctl", '-D', $twin, '-w', '-s', '-l', "$twin.log");
	RegentCluster::must([ @pg_ctl, '-o', "-p $port -c shared_preload_libraries=''", 'start' ]);
	spew(sprintf('%s/pg_wal/%08X.history', $twin, $_), "# pg_regent: timeline not used\n") for 2 .. 4;
	RegentCluster::must([ @pg_ctl, 'promote' ]);
	# further than n2 has come on that timeline
	my $rows = 5000 + int((RegentCluster::lsn_number($c->sql('n2', 'SELECT pg_current_wal_lsn()')) - RegentCluster::lsn_number($fork_of->($twin))) / 900);
	RegentCluster::must([ "$RegentCluster::bindir/psql", '-Xq', '-h', '127.0.0.1', '-p', $port, '-U', 'postgres', '-d', 'postgres', '-c', 'CHECKPOINT', '-c',
		"UPDATE t SET who = 'twin'", '-c', "CREATE TABLE twin AS SELECT i, repeat(md5(i::text), 30) AS pad FROM generate_series(1, $rows) i", '-c', 'CHECKPOINT' ]);
	RegentCluster::must([ @pg_ctl, '-m', 'fast', 'stop' ]);
	is($fork_of->($twin), $fork_of->(dir('n2')), 'the twin began its timeline 5 where n2 did');

	my $as_n1 = sub {
		my ($term) = @_;
		$c->stop_server('n1', 'immediate') if $c->postmaster('n1');
		RegentCluster::must([ 'rm', '-rf', dir('n1'), glob(dir('n1') . '.regent-*') ]);
		RegentCluster::must([ 'cp', '-a', $twin, dir('n1') ]);
		spew(dir('n1') . '/postgresql.conf', $c->server_conf('n1'));
		spew(dir('n1') . '/regent.state', slurp($c->dir . '/kill/regent.state'), 0600);
		my $f = helper('fence', $term);
		ok($f->{ok} && $f->{fenced}, 'the twin is n1, and fenced') or diag($f->{all});
	};
	my $refused = sub {
		my ($term, $detail, $what) = @_;
		my $before = fingerprint(dir('n1'));
		my $a = helper('rewind', source($term));
		is($a->{error}, 'not_possible', "$what: no rewind") or diag($a->{all});
		like($a->{detail} // '', $detail, 'the reason');
		is_deeply(fingerprint(dir('n1')), $before, 'the directory is as it was');
	};
	$as_n1->(5);
	$refused->(5, qr/both are on timeline 5/, 'n2 is on that number');

	# n2 goes on, on a timeline that came out of its own 5
	$c->stop_server('n2');
	ok($_->{ok}, "n2: $_->{verb} for term 11") or diag(explain($_))
		for map { JSON::PP->new->decode((split /\n/, ($c->helper('n2', @$_))[1])[-1]) } [ 'fence', 11 ], ['start'], [ 'promote', 11 ];
	wait_until(sub { $c->sql('n2', 'SELECT pg_is_in_recovery()') eq 'f' }, 20, 'n2 is promoted');
	is(write_rule('n2', 11), 11, 'n2 leads on timeline 11');
	open_gate('n2');
	$as_n1->(11);
	my ($rc, $out, $err) = run_command([ "$RegentCluster::bindir/pg_rewind", '-D', dir('n1'), '--dry-run', '--no-ensure-shutdown',
		'--source-server', $c->conninfo('n2') ], timeout => 60);
	like($err, qr/servers diverged at WAL location \S+ on timeline 5/, 'pg_rewind by itself would keep what the twin wrote');
	$refused->(11, qr/n1 and n2 have different WAL before the fork at/, 'n2 has been on that number');

	# a copy of it, of what differs, does not ask for numbers
	my $a = helper('delta', source(11));
	ok($a->{ok}, 'a delta copy') or diag($a->{all});
	$a = helper('swap', source(11));
	ok($a->{ok}, 'swapped in') or diag($a->{all});
	wait_until(sub { ($c->sql('n2', "SELECT state FROM pg_stat_replication WHERE application_name = 'n1'", may_fail => 1) // '') eq 'streaming' }, 30, 'n1 streams');
	$c->wait_caught_up('n2', 'n1');
	is($c->sql('n1', "SELECT count(*) FROM t WHERE who = 'twin'") . $c->sql('n1', "SELECT coalesce(to_regclass('twin')::text, '')"), '0', 'n1 has nothing of the twin');
};
$c->stop_all;

diverge('checksums');
cell('power', 'there');
if ($all)
{
	cell($_, 'recycled', $no_wal) for 'clean', 'kill', 'power';
	cell($_, 'archive') for 'clean', 'kill', 'power';
	cell($_, 'there') for 'clean', 'kill';
	cell($_, 'there', undef, 1) for 'clean', 'kill', 'power';
}
like(`LC_ALL=C $RegentCluster::bindir/pg_controldata -D @{[ dir('n1') ]}`, qr/checksum version: +1/, 'with checksums');
$c->stop_server('n1');
is((run_command([ "$RegentCluster::bindir/pg_checksums", '--check', '-D', dir('n1') ]))[0], 0, 'and they are right');
$c->stop_all;

diverge('neither');
cell('clean', 'there', qr/neither wal_log_hints nor data checksums/);
if ($all)
{
	for my $stop ('clean', 'kill', 'power')
	{
		cell($stop, $_, qr/neither wal_log_hints nor data checksums/) for 'there', 'recycled', 'archive';
	}
}

done_testing();
