# A timeline's number is the term of its promotion, so it names one history: by
# the server's promote() and by the helper's.  Whoever follows finds all history
# files, also from a leader that began as a copy; what a promotion that never was
# has left behind keeps nobody from starting.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew run_command);
use JSON::PP ();
use Test::More;

my $w    = '11111111-2222-3333-4444-555555555555';
my $unused = "# pg_regent: timeline not used\n";
my $c    = RegentCluster->new(nodes => 3, no_sshd => 1, conf => "archive_mode = on\narchive_command = 'false'\n");
my $archive = $c->dir . '/archive';
mkdir $archive;

sub write_rule
{
	my ($leader, $term) = @_;
	return $c->sql($leader, "SELECT regent.write_rule('$w', 1, $term, 0, '$leader', '{n1,n2,n3}', 'async', 0, '{}', '1 min', NULL, 'test')->>'timeline'");
}

sub promise { my ($name, $term) = @_; return $c->sql($name, "SELECT complete FROM regent.promise('$w', 1, $term, 5000)") }

sub promote { my ($name, $term) = @_; return $c->sql($name, "SELECT regent.promote('$w', 1, $term)->>'timeline'", may_fail => 1) }

sub follow
{
	my ($name, $term, $leader) = @_;
	my $l = $c->node($leader);
	return $c->sql($name, "SELECT regent.follow('$w', 1, $term, '$leader', 'host=$l->{host} port=$l->{port} user=postgres', 'regent_$name') IS NOT NULL");
}

# The numbers of the history files of a node.
sub histories { return join ' ', map { m!0*([0-9A-F]+)\.history$! ? hex $1 : () } sort glob($c->node($_[0])->{dir} . '/pg_wal/*.history') }

sub history { my ($name, $number) = @_; return slurp(sprintf '%s/pg_wal/%08X.history', $c->node($name)->{dir}, $number) }

sub wait_streaming
{
	my ($leader, @names) = @_;
	my $slots = join ',', map { "'regent_$_'" } @names;
	wait_until(sub { $c->sql($leader, "SELECT count(*) FROM pg_replication_slots s JOIN pg_stat_replication r
			ON r.pid = s.active_pid WHERE s.slot_name IN ($slots) AND r.state = 'streaming'") == @names },
		30, "@names stream from $leader", sub { map { (slurp($c->node($_)->{log}) =~ /((?:.*\n){0,10})\z/)[0] } @names });
	open_gate($leader);
	$c->sql($leader, 'INSERT INTO written DEFAULT VALUES');
	$c->wait_caught_up($leader, @names);
}

sub open_gate
{
	my ($leader) = @_;
	my $a = JSON::PP->new->decode($c->sql($leader, "SELECT to_json(h) FROM regent.heartbeat('$w', 1, NULL, NULL, NULL, NULL) h"));
	my $until = $a->{boottime_ms} + 60_000;
	$c->sql($leader, "SELECT FROM regent.heartbeat('$w', 1, '$a->{boot_id}', '$a->{started_at}', $a->{rule}{term}, $until)");
	is($c->sql($leader, 'SELECT gate FROM regent.node_status()'), 'open', "$leader is open");
}

# A copy of a leader by pg_basebackup, as a standby of its own name.
sub copy_of
{
	my ($name, $leader) = @_;
	my $n = $c->node($name);
	my $l = $c->node($leader);
	$c->stop_server($name) if $c->postmaster($name);
	rename $n->{dir}, "$n->{dir}.before" . time;
	RegentCluster::must([ "$RegentCluster::bindir/pg_basebackup", '-D', $n->{dir}, '-h', $l->{host}, '-p', $l->{port},
		'-U', 'postgres', '-X', 'stream', '-c', 'fast', '-R', '--no-sync' ]);
	spew("$n->{dir}/postgresql.conf", $c->server_conf($name));
	unlink "$n->{dir}/regent.state";
	$c->start_server($name);
	wait_until(sub { $c->sql($name, 'SELECT term IS NOT NULL FROM regent.node_status()') eq 't' }, 20, "$name holds a rule");
}

$c->sql('n1', 'CREATE EXTENSION pg_regent');
$c->sql('n1', 'CREATE TABLE written (id bigserial)');
is(write_rule('n1', 1), 1, 'term 1 on timeline 1');
wait_until(sub { $c->sql('n1', "SELECT count(*) FROM pg_replication_slots WHERE slot_name ~ '^regent_'") == 2 }, 20, 'slots');
for my $name ('n2', 'n3')
{
	wait_until(sub { ($c->sql($name, 'SELECT term FROM regent.node_status()') || 0) == 1 }, 20, "$name holds the rule");
	follow($name, 1, 'n1');
}
wait_streaming('n1', 'n2', 'n3');

subtest 'promote(): from timeline 1, term 5 begins timeline 5; the others follow' => sub {
	# stopped cleanly and fenced: it can follow as it is
	$c->stop_server('n1', 'fast');
	my ($rc, $out) = $c->helper('n1', 'fence', 5);
	is($rc, 0, 'fence') or diag($out);
	is(promise($_, 5), 't', "$_ is recruited") for 'n2', 'n3';
	is(promote('n2', 5), 5, 'timeline 5');
	is(write_rule('n2', 5), 5, 'its rule says so');
	is(histories('n2'), '2 3 4 5');
	is(history('n2', 3), $unused, 'a placeholder');
	is(promote('n2', 5), 5, 'asked again');

	follow('n3', 5, 'n2');
	($rc, $out) = $c->helper('n1', 'start');
	is($rc, 0, 'n1 starts') or diag($out);
	is($c->sql('n1', 'SELECT pg_is_in_recovery()'), 't', 'as a standby');
	follow('n1', 5, 'n2');
	wait_streaming('n2', 'n1', 'n3');
	is($c->sql($_, 'SELECT timeline FROM regent.node_status()'), 5, "$_ is on timeline 5") for 'n1', 'n3';
	for my $name ('n1', 'n3')
	{
		$c->stop_server($name);
		$c->start_server($name);
	}
	wait_streaming('n2', 'n1', 'n3');
	pass('also after a restart');
};

subtest 'the helper: term 9 begins timeline 9; pg_rewind finds the fork' => sub {
	promise($_, 9) for 'n1', 'n3';
	my ($rc, $out) = $c->helper('n3', 'promote', 9);
	is($rc, 0, 'promote') or diag($out);
	wait_until(sub { $c->sql('n3', 'SELECT pg_is_in_recovery()') eq 'f' }, 10, 'n3 is promoted');
	is(write_rule('n3', 9), 9, 'timeline 9');
	is(histories('n3'), '2 3 4 5 6 7 8 9');
	follow('n1', 9, 'n3');
	wait_streaming('n3', 'n1');

	# n2 has written on, past the fork
	open_gate('n2');
	$c->sql('n2', 'CREATE TABLE lost AS SELECT 1');
	$c->stop_server('n2', 'fast');
	$c->sql('n3', 'CHECKPOINT');
	my $dir = $c->node('n2')->{dir};
	my $l = $c->node('n3');
	($rc, $out, my $err) = run_command([ "$RegentCluster::bindir/pg_rewind", '-D', $dir, '--source-server',
		"host=$l->{host} port=$l->{port} user=postgres dbname=postgres" ], timeout => 60);
	is($rc, 0, 'pg_rewind') or diag($err);
	like($err, qr/servers diverged at WAL location \S+ on timeline 5/, 'on the timeline that both were on');
	spew("$dir/postgresql.conf", $c->server_conf('n2'));
	spew("$dir/postgresql.auto.conf", '');
	spew("$dir/standby.signal", '');
	unlink "$dir/regent.state";
	$c->start_server('n2');
	wait_until(sub { ($c->sql('n2', 'SELECT term FROM regent.node_status()') || 0) == 9 }, 20, 'n2 holds the rule');
	follow('n2', 9, 'n3');
	wait_streaming('n3', 'n1', 'n2');
	is($c->sql('n2', "SELECT to_regclass('lost') IS NULL"), 't', 'what it wrote alone is gone');
};

subtest 'a leader that began as a copy serves a standby that is far behind' => sub {
	copy_of('n2', 'n3');
	is(histories('n2'), '9', 'a copy has only the history of its own timeline');
	follow('n2', 9, 'n3');
	wait_streaming('n3', 'n1', 'n2');

	# n1 stays behind on timeline 9, while n2 leads on 12
	promise($_, 12) for 'n1', 'n2';
	is(promote('n2', 12), 12);
	is(write_rule('n2', 12), 12);
	wait_until(sub { histories('n2') eq '2 3 4 5 6 7 8 9 10 11 12' }, 20, 'all history files');
	is(history('n2', 5), history('n1', 5), 'one that was a timeline is what it was');
	is(history('n2', 4), $unused);
	is(history('n2', 10), $unused);

	follow('n1', 12, 'n2');
	wait_streaming('n2', 'n1');

	# its own promotion's numbers are archived, once the timeline is
	my $status = $c->node('n2')->{dir} . '/pg_wal/archive_status';
	ok(!-e "$status/0000000A.history.ready", 'not before the timeline itself');
	$c->sql('n2', "ALTER SYSTEM SET archive_command = 'cp %p $archive/%f'");
	$c->sql('n2', 'SELECT pg_reload_conf()');
	wait_until(sub { -e "$archive/0000000A.history" && -e "$archive/0000000B.history" }, 30, 'placeholders in the archive');
	ok(-e "$archive/0000000C.history", 'with the timeline');
	ok(!-e "$archive/00000004.history", 'what others have left out is theirs');
	is(slurp("$archive/0000000A.history"), $unused);
};

subtest 'placeholders of a promotion that never was' => sub {
	my $n1 = $c->node('n1');
	$c->stop_server('n1');
	spew(sprintf('%s/pg_wal/%08X.history', $n1->{dir}, $_), $unused) for 13 .. 15;
	spew("$n1->{dir}/pg_wal/00000010.history", '# pg_reg');
	$c->start_server('n1');
	unlike(histories('n1'), qr/1[3-6]/, 'they are removed at the start');
	like(histories('n1'), qr/\b10 11 12$/, 'those below a timeline stay');
	wait_streaming('n2', 'n1');

	# a gap ends the server's search, whatever comes after it
	$c->stop_server('n1');
	spew(sprintf('%s/pg_wal/%08X.history', $n1->{dir}, $_), $unused) for 13, 14;
	spew("$n1->{dir}/pg_wal/00000010.history", history('n1', 12) . "\n12\t0/FF000000\tno recovery target specified\n");
	$c->start_server('n1');
	like(histories('n1'), qr/\b12 16$/, 'before a gap, too');
	unlink "$n1->{dir}/pg_wal/00000010.history";
	wait_streaming('n2', 'n1');

	# in a running standby that receives nothing
	promise('n1', 20);
	spew("$n1->{dir}/pg_wal/0000000D.history", $unused);
	wait_until(sub { histories('n1') !~ /13/ }, 20, 'they are removed from a parked standby');

	# what others wrote is theirs
	$c->stop_server('n1');
	spew("$n1->{dir}/pg_wal/000000FF.history", "# somebody's own\n");
	$c->start_server('n1');
	like(histories('n1'), qr/255/, 'a file that is not ours stays');
	unlink "$n1->{dir}/pg_wal/000000FF.history";

	# half promoted: the timeline exists, its promotion was not finished
	spew("$n1->{dir}/pg_wal/00000014.history", history('n1', 12) . "\n12\t0/FF000000\tno recovery target specified\n");
	is(promote('n1', 20), undef, 'not promoted again in the same term');
	like($c->{sql_error}, qr/timeline 20 cannot begin/, 'and why');
	my ($rc, $out) = $c->helper('n1', 'promote', 20);
	like($out, qr/"error":"half_promoted"/, 'nor by the helper');
	is($c->sql('n1', 'SELECT pg_is_in_recovery()'), 't');
};

done_testing();
