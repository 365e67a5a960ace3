# systemd: the unit is well formed; READY, STATUS, WATCHDOG and STOPPING are
# sent (proven with a socket of our own, for no systemd runs here); SIGHUP.
use strict;
use warnings;
use IO::Socket::UNIX;
use IO::Select;
use RegentCluster qw(wait_until slurp spew);
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(time);

my $c = RegentCluster->new(nodes => 1, regent => {});
my $d = $c->dir;

# the unit, with the binary where this build has it
my $unit = slurp("$RegentCluster::top/scripts/regentd.service");
like($unit, qr/^Type=notify$/m, 'Type=notify');
like($unit, qr/^WatchdogSec=/m, 'WatchdogSec');
$unit =~ s{^(Exec\w+=[-+!:]*)\S+/regentd}{$1$RegentCluster::build/regentd}mg;
spew("$d/regentd.service", $unit);
SKIP:
{
	my ($verify) = grep { -x } '/usr/bin/systemd-analyze', '/bin/systemd-analyze';
	if (!$verify)
	{
		die 'systemd-analyze is missing: apt-get install systemd' if ($ENV{CI} || '') eq 'true';
		skip 'no systemd-analyze here', 1;
	}
	my ($rc, $out, $err) = RegentCluster::run_command([ $verify, 'verify', '--man=no', "$d/regentd.service" ], env => { HOME => $d });
	my @own = grep { /regentd\.service/ } split /\n/, "$out$err";
	is("@own", '', 'systemd-analyze verify has nothing to say of it') or diag("$out$err");
}

my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$d/run/notify") or die "no socket: $!";
my @told;

sub told
{
	my ($pattern, $timeout) = @_;
	my $end = time() + $timeout;
	my $select = IO::Select->new($socket);
	while (1)
	{
		return 1 if grep { $_ =~ $pattern } @told;
		last if time() > $end;
		push @told, split /\n/, do { my $m = ''; $socket->recv($m, 65536); $m } if $select->can_read(0.1);
	}
	return 0;
}

$c->init_cluster;
$c->start_regentd(env => { NOTIFY_SOCKET => "$d/run/notify", WATCHDOG_USEC => 1_000_000, WATCHDOG_PID => undef });
ok(told(qr/^READY=1$/, 20), 'READY=1');
ok(told(qr/^STATUS=main: leader n1/, 20), 'STATUS names leader and readiness') or diag("@told");
like((grep { /^STATUS=/ } @told)[-1], qr/automatic failover: NO, because/, 'a single node can\'t fail over, and it says so');
@told = ();
ok(told(qr/^WATCHDOG=1$/, 10), 'WATCHDOG=1 keeps coming');

# SIGHUP: a bad file changes nothing, a good one counts
my $good = slurp($c->{conf});
spew($c->{conf}, $good . "nonsense = 1\n", 0600);
kill 'HUP', $c->{regentd};
wait_until(sub { (slurp("$d/regentd.log") || '') =~ /event=config_refused/ }, 20, 'config_refused');
pass('a bad configuration is refused, the old one stays');
(my $new = $good) =~ s/^\[cluster\]/[cluster]\nauto_failover = off/m;
spew($c->{conf}, $new, 0600);
kill 'HUP', $c->{regentd};
$c->wait_event('config_reloaded');
$c->wait_status(sub { !$_[0]{auto_failover}{enabled} }, 10, 'auto_failover = off to count');
pass('a good one counts');

@told = ();
is($c->stop_regentd, 0, 'SIGTERM ends it cleanly');
ok(told(qr/^STOPPING=1$/, 10), 'STOPPING=1');
my ($rc) = $c->regent('status');
is($rc, 3, 'regent says with 3 that there is no regentd');
done_testing();
