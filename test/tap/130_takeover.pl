# Who is the watchdog?  Another one is refused and both alarm; of two clones the
# nodes obey the later start only; an old copy of a state directory acts on
# nothing; an old journal opens no closed node before the nodes have shown that it
# is the newest, or a person has said so; takeover; and without any watchdog the
# writes go on by leases from the standbys.
use strict;
use warnings;
use Compress::Raw::Zlib ();
use File::Copy qw(copy);
use RegentCluster qw(wait_until spew slurp);
use Test::More;
use Time::HiRes qw(time);

my $c = RegentCluster->new(nodes => 3, regent => { lease => '2s', restart_budget => '2s' });
$c->up;
my $d = $c->dir;
my $good = slurp($c->{conf});
$c->sql('n1', 'CREATE TABLE t (id serial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())');

# A second configuration: another state directory and socket.
sub conf_with
{
	my ($name) = @_;
	(my $text = $good) =~ s/^state_directory = .*/state_directory = $d\/$name/m;
	$text =~ s/^control_socket = .*/control_socket = $d\/run\/$name.sock/m;
	spew("$d/$name.conf", $text, 0600);
	return "$d/$name.conf";
}

sub regent_by
{
	my ($conf, @args) = @_;
	return RegentCluster::run_command([ "$RegentCluster::build/regent", '-c', $conf, @args ], timeout => 60);
}

sub status_by { return eval { JSON::PP::decode_json((regent_by($_[0], '--json', 'status'))[1]) } || {} }

sub start_other
{
	my ($name) = @_;
	my $pid = $c->spawn([ "$RegentCluster::build/regentd", '-c', "$d/$name.conf" ], "$d/$name.log");
	$c->{pids}{$name} = $pid;
	return $pid;
}

sub stop_other
{
	my ($name) = @_;
	my $pid = delete $c->{pids}{$name};
	kill 'TERM', $pid;
	RegentCluster::reap($pid, 10);
}

sub copy_state
{
	my ($from, $to) = @_;
	mkdir "$d/$to", 0700;
	copy("$d/$from/$_", "$d/$to/$_") || die "can't copy $_: $!" for qw(identity main.journal);
	chmod 0600, "$d/$to/$_" for qw(identity main.journal);
}

sub counter_of { return (slurp("$d/$_[0]/identity") =~ /^counter (\d+)$/m)[0] }

# Writes for some seconds on a node, as fast as one session does: how many were
# acknowledged, how many not, and the longest time between two acknowledged ones.
sub write_for
{
	my ($node, $seconds) = @_;
	my ($yes, $no, $gap) = (0, 0, 0);
	my $end = time() + $seconds;
	my $last = time();
	while (time() < $end)
	{
		if (defined $c->sql($node, 'INSERT INTO t DEFAULT VALUES', may_fail => 1))
		{
			$yes++;
			$gap = time() - $last if time() - $last > $gap;
			$last = time();
		}
		else
		{
			$no++;
		}
	}
	return ($yes, $no, $gap);
}

# ---- another watchdog ----

conf_with('other');
mkdir "$d/other", 0700;
start_other('other');
wait_until(sub { (status_by("$d/other.conf")->{diagnosis} // '') eq 'not obeyed' }, 20, 'the other watchdog to see that it is not obeyed',
	sub { JSON::PP->new->pretty->encode(status_by("$d/other.conf")) });
pass('another watchdog is not obeyed, and says so');
my $event = $c->wait_event('watchdog_intruder', 20);
ok($event->{alarm}, "the first one alarms: $event->{message}");
my ($rc, $out, $err) = $c->regent('takeover', '--yes');
is($rc, 1, 'the one that is obeyed has nothing to take over');
like($err, qr/no node obeys another watchdog/, 'and says so');
($rc, $out, $err) = regent_by("$d/other.conf", 'switchover', 'n2');
is($rc, 1, 'the other one can move nothing');
($rc, $out, $err) = regent_by("$d/other.conf", 'takeover', '--dry-run');
is($rc, 0, 'it could take over') or diag($err);
like($out, qr/n1, n2, n3 will obey/, 'and says whom');
($rc, $out, $err) = RegentCluster::run_command([ "$RegentCluster::build/regent", '-c', "$d/other.conf", 'takeover' ], stdin => "no\n");
is($rc, 1, 'without the name of the cluster it does not');
like($err, qr/not confirmed/, 'and says why');
is($c->sql('n1', 'SELECT watchdog FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1'), $c->status->{watchdog}{id}, 'the rule names the first one');
my ($yes, $no) = write_for('n1', 3);
is($no, 0, "writes go on beside it: $yes");
stop_other('other');

# ---- two clones of one state directory ----

copy_state('state', 'clone');
conf_with('clone');
start_other('clone');
wait_until(sub { (($c->status || {})->{diagnosis} // '') eq 'not obeyed' }, 20, 'the first one to see that a later start is obeyed',
	sub { $c->regentd_log_tail });
pass('of two clones the earlier start is not obeyed any more');
wait_until(sub { (slurp("$d/clone.log") || '') =~ /event=watchdog_intruder/ }, 20, 'the clone to alarm, too');
pass('and the later one alarms');
($yes, $no) = write_for('n1', 3);
is($no, 0, "writes go on: $yes");
$c->kill9_regentd;
stop_other('clone');

# the later start is the watchdog from now on
rename("$d/state", "$d/state.earlier");
rename("$d/clone", "$d/state");
$c->start_regentd;
$c->wait_ready;

# ---- an old copy of the state directory ----

copy_state('state', 'backup');
for (1 .. 6)
{
	$c->stop_regentd;
	$c->start_regentd;
}
$c->wait_ready;
$c->stop_regentd;
rename("$d/state", "$d/state.newest");
copy_state('backup', 'state');
$c->start_regentd;
$c->wait_status(sub { $_[0]{diagnosis} eq 'not obeyed' }, 20, 'the restored one to see that it is old');
cmp_ok(counter_of('state'), '<', counter_of('state.newest'), 'its counter is lower');
my $term = $c->sql('n1', 'SELECT max(term) FROM regent.rule');
$c->kill_primary('n1');
wait_until(sub { !$c->postmaster('n1') }, 10, 'n1 to be gone');
ok(!eval { wait_until(sub { ($c->sql('n2', 'SELECT pg_is_in_recovery()') eq 'f') || ($c->sql('n3', 'SELECT pg_is_in_recovery()') eq 'f') }, 6, 'x') },
	'an old copy promotes nobody');
$c->stop_regentd;
rename("$d/state", "$d/state.old");
rename("$d/state.newest", "$d/state");
$c->start_regentd;
my $s = $c->wait_failover('n1', 60);
cmp_ok($s->{term}, '>', $term, "the newest one does: $s->{leader} leads");
my $leader = $s->{leader};
$c->wait_status(sub { !grep { $_->{state} ne 'ok' } @{ $_[0]{nodes} } }, 120, 'all nodes to be ok');

# ---- no watchdog ----

my $before = $c->sql($leader, 'SELECT watchdog_seen_ms FROM regent.node_status()');
$c->kill9_regentd;
($yes, $no, my $gap) = write_for($leader, 12);
is($no, 0, sprintf('no watchdog for six leases: %d writes, none failed, longest gap %.0f ms', $yes, 1000 * $gap));
cmp_ok($c->sql($leader, 'SELECT watchdog_seen_ms FROM regent.node_status()'), '>', 8000, 'regent.node_status() says that no watchdog was there');
cmp_ok($c->sql($leader, 'SELECT lease_left_ms FROM regent.node_status()'), '>', 0, 'the lease comes from the standbys');
is($c->sql($leader, 'SELECT gate FROM regent.node_status()'), 'open', 'the gate is open');
$term = $c->sql($leader, 'SELECT max(term) FROM regent.rule');

# ... and without standbys, too: closed after one lease, until somebody is back
my @standbys = grep { $_ ne $leader } $c->names;
$c->stop_server($_) for @standbys;
wait_until(sub { $c->sql($leader, 'SELECT gate FROM regent.node_status()') eq 'closed' }, 20, 'the gate to close');
is($c->sql($leader, 'INSERT INTO t DEFAULT VALUES', may_fail => 1), undef, 'without watchdog and standbys no write is acknowledged');
like($c->{sql_error}, qr/may not write/, 'and the client is told');
ok($c->sql($leader, 'SELECT count(*) FROM t') > 0, 'reads pass');
$c->start_server($_) for @standbys;
wait_until(sub { $c->sql($leader, 'SELECT gate FROM regent.node_status()') eq 'open' }, 30, 'the standbys to open it again');
pass('the standbys are back: open');
$c->start_regentd;
$s = $c->wait_ready;
is("$s->{leader} $s->{term}", "$leader $term", 'the watchdog comes back: same leader, same term');

# ---- an old journal ----

# Rewrites every line of the journal as if it had been written so many minutes ago.
sub age_journal
{
	my ($minutes) = @_;
	my $text = '';
	for my $line (split /\n/, slurp("$d/state/main.journal"))
	{
		$line =~ s/"at":(\d+)/'"at":' . ($1 - $minutes * 60000)/e or die "no time in: $line";
		(my $bare = $line) =~ s/,"crc":"[0-9a-f]+"// or die "no checksum in: $line";
		my $crc = sprintf '%08x', Compress::Raw::Zlib::crc32($bare);
		$line =~ s/"crc":"[0-9a-f]+"/"crc":"$crc"/;
		$text .= "$line\n";
	}
	spew("$d/state/main.journal", $text, 0600);
}

$c->stop_regentd;
age_journal(30);
$c->start_regentd;
$s = $c->wait_ready;
like(slurp("$d/regentd.log"), qr/journal may be an old copy.*minutes old/, 'an old journal is noticed');
ok(!$s->{watchdog}{in_doubt}, 'all nodes show that it is the newest: trusted');
is("$s->{leader} $s->{term}", "$leader $term", 'nothing else happened');

# most voters are away: a closed leader is not opened on an old journal's word
$c->stop_regentd;
$c->stop_server($_) for @standbys;
$c->stop_server($leader);
$c->start_server($leader);
age_journal(30);
$c->start_regentd;
$s = $c->wait_status(sub { RegentCluster::node_of($_[0], $leader)->{gate} eq 'closed' && $_[0]{watchdog}{in_doubt} }, 30, 'the doubt');
ok(!eval { wait_until(sub { $c->sql($leader, 'SELECT gate FROM regent.node_status()') eq 'open' }, 6, 'x') }, 'an old journal opens no closed node');
# a restart of regentd is no way out
$c->stop_regentd;
$c->start_regentd;
$s = $c->wait_status(sub { $_[0]{watchdog}{in_doubt} }, 30, 'the doubt after a restart');
pass('the doubt outlives a restart');
($rc, $out, $err) = $c->regent('takeover', '--yes');
is($rc, 0, 'a person says that it is the newest') or diag($out . $err);
# a newer leader would have needed one of two standbys: both are heard first
$c->start_server($_) for @standbys;
wait_until(sub { $c->sql($leader, 'SELECT gate FROM regent.node_status()') eq 'open' }, 60, 'the gate to open', sub { $c->regentd_log_tail });
pass('then it opens');
$c->wait_status(sub { !grep { $_->{state} ne 'ok' } @{ $_[0]{nodes} } }, 120, 'all nodes to be ok');

# ---- takeover: the watchdog's host is lost, with its state directory ----

$c->kill9_regentd;
rename("$d/state", "$d/state.lost");
mkdir "$d/state", 0700;
$c->start_regentd;
$c->wait_status(sub { $_[0]{diagnosis} eq 'not obeyed' }, 20, 'the new one not to be obeyed');
($yes, $no) = write_for($leader, 5);
is($no, 0, "meanwhile writes go on: $yes");
$term = $c->sql($leader, 'SELECT max(term) FROM regent.rule');
($rc, $out, $err) = $c->regent('takeover', '--yes');
is($rc, 0, 'takeover') or diag($out . $err);
$s = $c->wait_ready(60);
is($s->{leader}, $leader, 'the leader is the same');
is($c->sql($leader, 'SELECT watchdog FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1'), $s->{watchdog}{id}, 'the newest rule names the new watchdog');
$c->wait_event('takeover', 10);
($yes, $no) = write_for($leader, 3);
is($no, 0, "writes go on: $yes");
my $rows = $c->sql($leader, 'SELECT count(*) FROM t');
$c->wait_caught_up($leader, @standbys);
$c->kill_primary($leader);
$s = $c->wait_failover($leader, 60);
pass("and it fails over: $s->{leader} leads");
is($c->sql($s->{leader}, 'SELECT count(*) FROM t'), $rows, 'with all rows');

# the lost one comes back after all: it is refused, whatever it does
conf_with('state.lost');
start_other('state.lost');
wait_until(sub { (status_by("$d/state.lost.conf")->{diagnosis} // '') eq 'not obeyed' }, 20, 'the lost one not to be obeyed');
pass('the watchdog that was taken over from is refused');
stop_other('state.lost');
done_testing();
